"""What was logged in a test, read back from the stream that it was written to."""

import io
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from worker.mask import Mask
from worker.report import logs


class Logged(io.StringIO):
    """A stream that log lines go to."""

    def lines(self) -> list[dict[str, Any]]:
        """Read every line as the JSON object that it must be."""
        return [json.loads(line, parse_constant=_refuse) for line in self.getvalue().split("\n")[:-1]]

    def only(self) -> dict[str, Any]:
        """Read the one line that must be there."""
        [line] = self.lines()
        return line


class Terminal(Logged):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


L = TypeVar("L", Logged, None)


@contextmanager
def logging_to(
    stream: L, log_format: str | None = "json", level: str = "info", mask: Mask | None = None
) -> Iterator[L]:
    """Configure logging for a while (None: to standard output), and put back what was there before."""
    root = logging.getLogger()
    handlers, before = list(root.handlers), root.level
    excepthook = threading.excepthook
    logs.configure(log_format, level, mask, stream)
    try:
        yield stream
    finally:
        logs.context(job=None, run_id=None, attempt=None, task_arn=None)
        logging.captureWarnings(False)
        threading.excepthook = excepthook
        root.handlers[:] = handlers
        root.setLevel(before)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
