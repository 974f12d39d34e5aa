"""Wait for what is away for a while: a database in a failover, a source that says 429."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from worker.errors import DatabaseAway, Throttled, Transient, told
from worker.events import Reporter

T = TypeVar("T")

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 2.0


class Patience:
    """Call until it answers, for so many seconds at most; `throttled` is told when the other side asks for a pause."""

    def __init__(
        self,
        seconds: float,
        *,
        throttled: Callable[[Throttled], None],
        reporter: Reporter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._throttled, self._reporter, self._clock = seconds, throttled, reporter, clock
        self._waiting: dict[object, Transient] = {}

    @property
    def tried(self) -> list[Transient]:
        """Give what the calls that wait for the other side were last told."""
        return list(self._waiting.values())

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        """Give the call's answer. Raises DatabaseAway when there is none for too long."""
        away_since: float | None = None
        pause = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    return await call()
                except Transient as error:
                    now = self._clock()
                    away_since = now if away_since is None else away_since
                    if now - away_since >= self._seconds:
                        raise DatabaseAway(f"{error} (waited {now - away_since:.0f} s)") from error
                    self._waiting[call] = error
                    self._reporter.retried(told(error))
                    if isinstance(error, Throttled):
                        self._throttled(error)
                        pause = max(pause, error.retry_after_s or 0.0)
                    await asyncio.sleep(pause)
                    pause = min(_LONGEST_PAUSE_S, pause * 2)
        finally:
            self._waiting.pop(call, None)
