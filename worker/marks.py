"""The port to what was said already: a reporter that hears the same news twice says it once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mark:
    """What was last said of something, and when."""

    value: str
    at: datetime


class Marks(Protocol):
    """The marks in the run store; of two who set the same mark at once, one is told that it is new."""

    async def mark(self, key: str, value: str = "") -> bool:
        """Set a mark; False where it was set to that value before."""
        ...

    async def marked(self, key: str) -> Mark | None:
        """Give a mark, where it is set."""
        ...
