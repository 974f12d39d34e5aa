"""Quote what a process said before it ended."""

from typing import BinaryIO

_LONGEST = 2_000


def last_words(log: BinaryIO) -> str:
    """Read the end of what an ended process wrote to this file."""
    log.seek(0)
    return log.read().decode(errors="replace").strip()[-_LONGEST:] or "it said nothing"
