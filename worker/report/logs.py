"""Set up logging: what the worker, a job or any library logs comes out as lines of one form."""

import asyncio
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, TextIO

from worker.mask import Mask
from worker.report.log_line import JsonLine, TextLine
from worker.report.log_stream import LogStream

_log = logging.getLogger("worker")
_context: dict[str, Any] = {}


def configure(
    log_format: str | None = None, level: str = "info", mask: Mask | None = None, stream: TextIO | None = None
) -> None:
    """Send all logging and warnings to a stream (standard output), as `json` or `text`; None: text on a terminal.

    Replaces what was configured before and forgets the context. Further fields of a line are given as logging has it:
    `log.info("sent", extra={"merchant_id": 42})`.
    """
    stream = stream or sys.stdout
    mask = mask or Mask()
    _context.clear()
    text = log_format == "text" or (log_format is None and stream.isatty())
    lines = LogStream(stream)
    lines.setFormatter(TextLine(mask, _colourful(stream)) if text else JsonLine(mask, _context))
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    root.addHandler(lines)
    root.setLevel(level.upper())
    for name in ("aiobotocore", "botocore"):  # each client tells where it found what
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(True)


def context(**fields: Any) -> None:
    """Put these fields (job, run_id, attempt, task_arn) on every line from now on; None takes one off."""
    _context.update(fields)
    for name in [name for name, value in _context.items() if value is None]:
        del _context[name]


def catch_the_uncaught() -> None:
    """Log what nobody catches."""
    sys.excepthook = log_uncaught
    threading.excepthook = log_uncaught_in_thread


def log_uncaught(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    """Log what ended the main thread: for `sys.excepthook`."""
    _log.critical("uncaught %s", kind.__name__, exc_info=(kind, error, stack))


def log_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    """Log what ended a thread: for `threading.excepthook`."""
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "unknown"
        _log.error(
            "uncaught %s in thread %s",
            args.exc_type.__name__,
            name,
            exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
        )


def log_uncaught_in_loop(loop: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
    """Log what nobody awaited: for `loop.set_exception_handler`."""
    _log.error("uncaught in asyncio: %s", told.get("message"), exc_info=told.get("exception"))


def _colourful(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
