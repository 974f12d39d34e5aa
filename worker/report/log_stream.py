"""Write log lines to standard output, without ever waiting long for who reads it."""

import logging
import os
import select
import stat
import time
from typing import TextIO

_PATIENCE_S = 5.0
"""How long, in all, an attempt may wait for a log router that does not read."""


class LogStream(logging.Handler):
    """Write each record as a line; into a pipe that nobody reads, drop lines and later say how many."""

    def __init__(self, stream: TextIO, patience_s: float = _PATIENCE_S) -> None:
        super().__init__()
        self._stream = stream
        self._pipe = _pipe_of(stream)
        self._patience_s = patience_s
        self._dropped = 0
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            self._write(f"{self.format(record)}\n")
        except (OSError, ValueError):  # closed, or its reader is gone: nothing is left to say it to
            self._dropped += 1

    def _write(self, line: str) -> None:
        if self._pipe is None:
            self._stream.write(line)
            self._stream.flush()
        elif self._dropped and not self._send(self._pipe, self._loss()):
            self._dropped += 1
        elif not self._send(self._pipe, line):
            self._dropped = 1
        else:
            self._dropped = 0

    def _loss(self) -> str:
        told = f"{self._dropped:,} log lines were dropped: standard output was not read in time"
        return self.format(
            logging.makeLogRecord({"msg": told, "levelno": 30, "levelname": "WARNING", "name": __name__})
        )

    def _send(self, pipe: int, text: str) -> bool:
        """Write piece by piece, each when the pipe has room for it; tell whether all of it went."""
        rest = text.encode("utf-8", "backslashreplace")
        rest = (b"\n" if self._torn else b"") + rest.rstrip(b"\n") + b"\n"
        while rest and self._room(pipe):
            rest = rest[os.write(pipe, rest[: select.PIPE_BUF]) :]
            self._torn = bool(rest)
        return not rest

    def _room(self, pipe: int) -> bool:
        poll = select.poll()
        poll.register(pipe, select.POLLOUT)
        began = time.monotonic()
        ready = poll.poll(1_000 * self._patience_s)
        self._patience_s = max(0.0, self._patience_s - (time.monotonic() - began))
        return bool(ready)


def _pipe_of(stream: TextIO) -> int | None:
    """Give the descriptor of a stream that is a pipe or a socket: only those can make their writer wait."""
    try:
        number = stream.fileno()
        mode = os.fstat(number).st_mode
    except (OSError, ValueError, AttributeError):
        return None
    return number if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None
