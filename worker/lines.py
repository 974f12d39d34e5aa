"""Lines as records: found in bytes that come piece by piece, and read as JSON, CSV or text; records as lines."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from worker.errors import Permanent
from worker.source import Key

Form: TypeAlias = Literal["jsonl", "csv", "text"]

LONGEST = 8 * 1024 * 1024
"""A line with more bytes is broken: it would not fit into flat memory."""
_BOM = b"\xef\xbb\xbf"


class Line(Mapping[str, Any]):
    """A line as a record: its fields by name, and where it is: its number from 1 on, its first byte, and the one behind it."""

    __slots__ = ("_fields", "end", "number", "start")

    def __init__(self, number: int, start: int, end: int, fields: Mapping[str, Any]) -> None:
        self.number, self.start, self.end = number, start, end
        self._fields = fields

    @property
    def key(self) -> Key:
        """Give the position as a key."""
        return self.number, self.start, self.end

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


class BrokenLine(Line):
    """A line that cannot be read: whoever looks into it fails, so that it becomes a dead letter with its position."""

    __slots__ = ("_fault",)

    def __init__(self, row: "Row", fault: object) -> None:
        super().__init__(row.number, row.start, row.end, {})
        self._fault = fault

    def __getitem__(self, name: str) -> Any:
        raise self._error()

    def __iter__(self) -> Iterator[str]:
        raise self._error()

    def __len__(self) -> int:
        raise self._error()

    def _error(self) -> Permanent:
        return Permanent(f"line {self.number} (bytes {self.start}-{self.end}): {self._fault}", "broken line")


class Row(NamedTuple):
    """The bytes of one line, without its end; None when they are too many."""

    number: int
    start: int
    end: int
    data: bytes | None


class Splitter:
    """Find the lines in pieces of a file; `quoted` lets a line end lie between quotes, as in CSV."""

    def __init__(self, *, quoted: bool, number: int = 0, start: int = 0) -> None:
        self._quoted, self._number, self._start = quoted, number, start
        self._held = bytearray()
        self._length = 0  # of the line so far, whether its bytes are held or not
        self._within_quotes = False

    def feed(self, piece: bytes) -> Iterator[Row]:
        """Give the lines that end in this piece."""
        *ended, rest = piece.split(b"\n")
        for part in ended:
            if self._quoted or self._length:
                self._add(part)
                if self._within_quotes and self._length <= LONGEST:
                    self._add(b"\n")
                else:
                    yield self._row(bytes(self._held), self._length, 1)
            else:
                yield self._row(part, len(part), 1)
        self._add(rest)

    def finish(self) -> Iterator[Row]:
        """Give the last line, if the file does not end with a line's end."""
        if self._length:
            yield self._row(bytes(self._held), self._length, 0)

    def _add(self, part: bytes) -> None:
        self._length += len(part)
        self._within_quotes ^= self._quoted and part.count(b'"') % 2 == 1
        if self._length <= LONGEST:
            self._held += part
        else:
            self._held.clear()

    def _row(self, data: bytes, length: int, ending: int) -> Row:
        start, self._start = self._start, self._start + length + ending
        self._number += 1
        if self._length:
            self._held.clear()
            self._length, self._within_quotes = 0, False
        return Row(self._number, start, self._start, data if length <= LONGEST else None)


class Reading:
    """Read rows of bytes as one form says; a CSV file's first line names its fields."""

    def __init__(self, form: Form) -> None:
        forms: dict[str, Callable[[bytes], Mapping[str, Any] | None]] = {
            "jsonl": _json,
            "csv": self._csv,
            "text": lambda data: {"text": data.decode()},
        }
        if form not in forms:
            raise ValueError(f"form {form!r} is not one of {', '.join(forms)}")
        self.form, self._fields = form, forms[form]
        self._header: list[str] = []

    def __call__(self, row: Row) -> Line | None:
        """Give a row's line; None: it is blank or the header, and no record. Raises ValueError for a header that cannot be used."""
        if self.form == "csv" and row.start == 0:
            self._header = _header(row)
            return None
        if row.data is None:
            return BrokenLine(row, f"has {row.end - row.start:,} bytes; the longest that is read has {LONGEST:,}")
        data = row.data.removeprefix(_BOM) if row.start == 0 else row.data
        try:
            fields = self._fields(data.removesuffix(b"\r"))
        except (ValueError, csv.Error, RecursionError) as error:
            return BrokenLine(row, f"is no {self.form}: {error}")
        return None if fields is None else Line(row.number, row.start, row.end, fields)

    def _csv(self, data: bytes) -> Mapping[str, Any] | None:
        values = _csv_row(data)
        if values and len(values) != len(self._header):
            raise ValueError(f"it has {len(values)} fields, the header has {len(self._header)}")
        return dict(zip(self._header, values, strict=True)) if values else None


class Writing:
    """Write records as one form says; a CSV file's first line names the fields of its first record."""

    def __init__(self, form: Form) -> None:
        if form not in ("jsonl", "csv"):
            raise ValueError(f"form {form!r} is not one of jsonl, csv")
        self._csv = form == "csv"
        self._names: list[str] = []

    def __call__(self, record: Mapping[str, Any]) -> bytes:
        """Give the line of a record, with its end."""
        if not self._csv:
            return msgspec.json.encode(dict(record)) + b"\n"
        header = b""
        if not self._names:
            self._names = list(record.keys())
            header = _csv_line(self._names)
        return header + _csv_line([record[name] for name in self._names])


def _json(data: bytes) -> Mapping[str, Any] | None:
    if not data.strip():
        return None
    value = msgspec.json.decode(data)
    if not isinstance(value, dict):
        raise ValueError(f"it is a {type(value).__name__}, not an object")
    return value


def _header(row: Row) -> list[str]:
    """Read the names of a CSV file's fields. Raises ValueError where they cannot be used."""
    try:
        names = [] if row.data is None else _csv_row(row.data.removeprefix(_BOM).removesuffix(b"\r"))
    except (ValueError, csv.Error) as error:
        raise ValueError(f"begins with a line that is no header: {error}") from error
    if not names or len(set(names)) < len(names):
        raise ValueError(f"begins with a header that names a field twice, or none: {', '.join(names)!r:.200}")
    return names


def _csv_row(data: bytes) -> list[str]:
    if csv.field_size_limit() < LONGEST:
        csv.field_size_limit(LONGEST)  # its own is 128 KiB
    return next(csv.reader([data.decode()], strict=True), [])


def _csv_line(values: list[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()
