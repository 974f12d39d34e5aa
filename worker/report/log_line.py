"""Turn a log record into one line: a JSON object for machines, short text for people."""

import json
import logging
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeAlias

import msgspec

from worker.mask import Mask
from worker.report.plain import plain, said

Raised: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_OURS = {"timestamp", "level", "event", "logger", "exception", "time"}
"""Keys that an extra field may not take: Fluent Bit's stock JSON parser swallows one named `time`."""

_COLOURS = {"debug": "2", "info": "36", "warning": "33", "error": "31", "critical": "1;31"}

_LONGEST_LINE = 16_000
"""Docker's log drivers cut lines at 16 KiB, and what is cut is no JSON any more."""


class JsonLine(logging.Formatter):
    """Write a record as one JSON object; never raises, never loses the line, always shorter than 16 KiB."""

    def __init__(self, mask: Mask, context: dict[str, Any]) -> None:
        super().__init__()
        self._mask = mask
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, with ever shorter texts until it fits; at last without the extra fields."""
        line = b""
        for longest, extras in ((8_000, True), (1_000, True), (200, True), (1_000, False)):
            line = msgspec.json.encode(self._object(record, _Text(self._mask, longest), extras))
            if len(line) <= _LONGEST_LINE:
                break
        return line.decode()

    def _object(self, record: logging.LogRecord, text: "_Text", extras: bool) -> dict[str, Any]:
        told = {
            "timestamp": timestamp(record.created),
            "level": record.levelname.lower(),
            "event": text(event(record)),
            **plain(self._context, text),
            "logger": record.name,
        }
        if extras:
            taken = _OURS | set(self._context)
            told |= plain({_free(name, taken): value for name, value in fields(record).items()}, text)
        else:
            told["shortened"] = "the fields did not fit into 16 KiB"
        raised = exception(record, text)
        return told | ({"exception": raised} if raised else {})


class TextLine(logging.Formatter):
    """Write a record for a terminal: time, level, event, flat fields; a stack trace follows on lines of its own."""

    def __init__(self, mask: Mask, colour: bool) -> None:
        super().__init__()
        self._mask = mask
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Give the line, without control characters that a terminal would obey."""
        text = _Text(self._mask, 2_000)
        level = record.levelname.lower()
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        told = " ".join(
            f"{name}={_short(value)}"
            for name, value in plain(fields(record), text).items()
            if not isinstance(value, (dict, list))
        )
        raised = exception(record, text)
        rest = text(event(record)) + (f"  {told}" if told else "") + (f"\n{raised['stack'].rstrip()}" if raised else "")
        return f"{at} {self._painted(level)} {_harmless(rest)}"

    def _painted(self, level: str) -> str:
        padded = f"{level:<7}"
        return f"\x1b[{_COLOURS.get(level, '0')}m{padded}\x1b[0m" if self._colour else padded


class _Text:
    """Make a text fit to be shown: masked first, so that no half secret survives the cut, then cut in its middle."""

    def __init__(self, mask: Mask, longest: int) -> None:
        self._mask = mask
        self._longest = longest

    def __call__(self, text: str) -> str:
        text = self._mask(text.encode("utf-8", "backslashreplace").decode())
        if len(text) <= self._longest:
            return text
        half = self._longest // 2
        return f"{text[:half]} … {len(text) - 2 * half:,} more characters … {text[-half:]}"


def timestamp(seconds: float) -> str:
    """Give a time (seconds since 1970) as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event(record: logging.LogRecord) -> str:
    """Give a record's message, even where its arguments do not fit its format."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - runs what the caller logged; the line must not be lost
        return f"{said(record.msg)} {said(record.args)} (badly formatted: {said(error)})"


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """Give what the caller added by `extra={...}`."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def exception(record: logging.LogRecord, text: Callable[[str], str]) -> dict[str, str] | None:
    """Give a record's exception as type, message and stack; None where it has none."""
    raised: Raised | None = record.exc_info
    if not raised or raised[0] is None:
        return {"type": "", "message": "", "stack": text(record.stack_info)} if record.stack_info else None
    return {"type": raised[0].__qualname__, "message": text(said(raised[1])), "stack": text(_stack(raised))}


def _stack(raised: Raised) -> str:
    try:
        return "".join(traceback.format_exception(*raised))
    except Exception as error:  # noqa: BLE001 - runs what the exception brings along; the line must not be lost
        return f"no stack: {said(error)}"


def _free(name: str, taken: set[str]) -> str:
    return f"{name}_" if name in taken else name


def _short(value: Any) -> str:
    if isinstance(value, float):
        value = round(value, 3) if abs(value) >= 1 else float(f"{value:.3g}")
    if isinstance(value, str) and len(value) > 80:
        value = f"{value[:79]}…"
    if isinstance(value, str) and value and not set(value) & set(" \"'=\n"):
        return value
    return json.dumps(value, ensure_ascii=False)


def _harmless(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
