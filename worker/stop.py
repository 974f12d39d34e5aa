"""When and why to stop, and how the time until SIGKILL is spent."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

_LITTLE_S = 0.2


@dataclass(frozen=True, slots=True)
class StopPlan:
    """Spend the stop timeout (seconds): in-flight records may drain, then commit, then report."""

    timeout: float
    drain: float
    commit: float
    report: float

    @classmethod
    def within(cls, timeout_s: float) -> "StopPlan":
        """Share out the stop timeout; a tenth (a second or more) is kept for what nobody planned."""
        usable = timeout_s - max(0.5, timeout_s * 0.1)
        commit = min(15.0, usable * 0.25)
        report = min(10.0, usable * 0.25)
        return cls(timeout=timeout_s, drain=usable - commit - report, commit=commit, report=report)

    def left_to_commit(self, stop: "Stop") -> float:
        """Give the seconds that are left to commit after a stop was asked for; a little always is."""
        return max(_LITTLE_S, stop.asked_at + self.drain + self.commit - time.monotonic())

    def __str__(self) -> str:
        return f"{self.timeout:g} s: drain {self.drain:.1f} s, commit {self.commit:.1f} s, report {self.report:.1f} s"


class Stop:
    """The one signal that flows backwards: the first reason to stop wins, a second one means at once."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.at_once = False
        self.asked_at = 0.0
        self.listener: Callable[[], None] | None = None
        """Told at once, before whoever waits."""
        self._asked = asyncio.Event()
        self._hurried = asyncio.Event()

    def __bool__(self) -> bool:
        return self.reason is not None

    def ask(self, reason: str) -> None:
        """Ask for the stop; asking again means: do not wait for what is in flight."""
        if self.reason is None:
            self.reason = reason
            self.asked_at = time.monotonic()
            self._asked.set()
            if self.listener is not None:
                self.listener()
        else:
            self.at_once = True
            self._hurried.set()

    async def wait(self) -> None:
        """Wait until somebody asks."""
        await self._asked.wait()

    async def wait_hurried(self) -> None:
        """Wait until somebody asks again."""
        await self._hurried.wait()
