"""Read the lines of one S3 object, large as it may be, and go on in the middle of it."""

from collections.abc import Sequence
from typing import Any

from worker.boto import Client
from worker.errors import Permanent
from worker.job import Run
from worker.lines import Form, Line, Reading
from worker.object_lines import ObjectLines
from worker.objects import head
from worker.source import JsonKey, Key, Page, Promise, Record

_NEAR = 1024 * 1024
"""So many bytes are rather read over than skipped by another request."""


class S3Lines:
    """Lines in the order of the object, by number, first byte, and the byte behind the last.

    The object is pinned by its ETag when it is checked: a cursor from another one is refused, and so is one that is replaced
    while it is read.
    """

    promise = Promise.STABLE

    def __init__(
        self, run: Run[Any], bucket: str, key: str, *, version: str | None, form: Form, gzip: bool | None
    ) -> None:
        self._run, self._bucket, self._key, self._version = run, bucket, key, version
        self._reading = Reading(form)
        self._gzip = key.endswith(".gz") if gzip is None else gzip
        self.order = f"{form} line of s3://{bucket}/{key}"
        self._client: Client | None = None
        self._found: Record = None
        self._lines: ObjectLines | None = None

    def key(self, record: Record) -> Key:
        """Give a line's position."""
        line: Line = record
        return line.key

    def encode(self, key: Key) -> JsonKey:
        """Give the position as it is: three numbers."""
        return list(key)

    def decode(self, key: JsonKey) -> Key:
        """Read what `encode` gave."""
        number, start, end = map(int, key)
        return number, start, end

    async def check(self) -> list[str]:
        """Look whether the object is there and begins as its form says, and pin it."""
        if self._client is None:
            self._client = await self._run.enter(Client(self._run, "s3"))
            self._run.resources.callback(self._close)
        try:
            self._found = await head(self._client, self._bucket, self._key, self._version)
            if self._found is None:
                return [f"s3://{self._bucket}/{self._key} is not there"]
            self.order = f"{self._reading.form} line of s3://{self._bucket}/{self._key} with ETag {self._found['etag']}"
            await self._read_from(None).begin()
        except Permanent as error:
            return [str(error)]
        return []

    async def page(self, after: Key | None, size: int) -> Page:
        """Read the next lines: on in the stream where the last page ended, or from a position. Raises Permanent for a damaged object."""
        lines = self._lines
        if lines is None or lines.after != after:
            lines = self._read_from(after)
        taken = await lines.take(size)
        return Page(taken, None if lines.exhausted else lines.after)

    async def count(self, after: Key | None) -> int | None:
        """Nobody knows how many lines there are before they were read."""
        return None

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Read lines again: in one pass where the object is packed, else wherever they are."""
        found: list[Record] = []
        lines: ObjectLines | None = None
        try:
            for number, start, _ in sorted(keys):
                if lines is None or not (self._gzip or start - _end(lines) < _NEAR):
                    if lines is not None:
                        lines.close()
                    lines = self._opened((number - 1, 0, start))
                line = await lines.find(start)
                found += [] if line is None else [line]
        finally:
            if lines is not None:
                lines.close()
        return found

    def _read_from(self, after: Key | None) -> ObjectLines:
        self._close()
        self._lines = self._opened(after)
        return self._lines

    def _opened(self, after: Key | None) -> ObjectLines:
        assert self._client is not None, "a source is checked before it is read"
        return ObjectLines(self._client, self._bucket, self._found, self._reading, gzip=self._gzip, after=after)

    def _close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None


def _end(lines: ObjectLines) -> int:
    """Give the byte behind the last line that was given out."""
    end: int = 0 if lines.after is None else lines.after[2]
    return end
