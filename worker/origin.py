"""Say where in a job's code an exception came from."""

import sysconfig
import traceback
from pathlib import PurePath
from types import FrameType

from worker.errors import WorkerError

_INSTALLED = tuple({f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_LONGEST_STACK = 8_000


def is_bug(error: BaseException) -> bool:
    """Tell whether an exception is nobody's way to say that a record failed: then its place is worth knowing."""
    return not isinstance(error, (WorkerError, TimeoutError, ConnectionError))


def place(error: BaseException) -> str | None:
    """Give the innermost frame of the job's own code, else the last one, as `jobs/poll_payments.py:23`."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return None
    frame, line = next((found for found in reversed(frames) if _is_own(found[0])), frames[-1])
    return f"{_file(frame)}:{line}"


def in_job(error: BaseException) -> tuple[str, str] | None:
    """Give the job's function that an exception came out of, and its innermost place in the job's code; None where that took no part."""
    own = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if _is_own(frame)]
    where = place(error)
    return (own[0].f_code.co_name, where) if own and where else None


def stack(error: BaseException) -> str:
    """Give the whole stack, cut in its middle where it is very long."""
    try:
        text = "".join(traceback.format_exception(error))
    except Exception as broken:  # noqa: BLE001 - runs what the exception brings along; its record fails all the same
        text = f"no stack: {type(broken).__name__}"
    half = _LONGEST_STACK // 2
    return text if len(text) <= _LONGEST_STACK else f"{text[:half]}\n…\n{text[-half:]}"


def _is_own(frame: FrameType) -> bool:
    """Tell job code from the worker's, the standard library's and what is installed."""
    name, file = frame.f_globals.get("__name__", ""), frame.f_code.co_filename
    module = frame.f_globals.get("__file__") or ""  # of compiled code (asyncpg) this alone says where it is installed
    ours = name == "worker" or name.startswith("worker.")
    return not ours and not file.startswith(("<", *_INSTALLED)) and not module.startswith(_INSTALLED)


def _file(frame: FrameType) -> str:
    """Give a frame's file as its module's name says it: relative, and so without any path of this machine."""
    file = PurePath(frame.f_code.co_filename)
    folders = frame.f_globals.get("__name__", "").split(".")[: None if file.name == "__init__.py" else -1]
    return "/".join([*folders, file.name])
