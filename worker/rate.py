"""The rate limit at work: never more than `count` grants in any window of `per` seconds, evenly spaced, in order of asking.

aiolimiter, the usual choice, lets twice the rate through in some windows and waiters overtake each other: docs/adr/0003.
"""

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable

from worker.limits import Rate

_SLACK = 1.005
"""Windows are kept half a per cent longer than promised: room for the time between a grant and the send."""
_CATCH_UP_S = 0.05
"""A grant that comes late may be made up for, within the strict window, if it is no later than this."""
_SHORTEST_TIMER_S = 0.001
"""uvloop's timers count milliseconds; shorter ones fire at once and would spin the loop."""


class RateLimit:
    """Grant permits; `None` for a rate means no limit, but `pause` still holds everybody.

    The clock is `time.monotonic`, not the loop's: uvloop's is a cached millisecond.
    """

    def __init__(self, rate: Rate | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = self._next = -float("inf")
        self.throttled_s = 0.0
        self._per = rate.per * _SLACK if rate else 0.0
        self._interval = self._per / rate.count if rate else 0.0
        self._grants = array("d", [-float("inf")]) * (rate.count if rate else 1)  # a ring of the last `count` grants
        self._oldest = 0

    @property
    def paused(self) -> bool:
        """Tell whether the other side asked for a pause that is not over yet."""
        return self._clock() < self._paused_until

    @property
    def wait_s(self) -> float:
        """Give about how long a permit would take to come to who asks for it now, in seconds."""
        return max(0.0, self._due() - self._clock()) + self._interval * len(self._waiters)

    @property
    def idle(self) -> bool:
        """Tell whether the limit remembers nothing that the next grant depends on."""
        return not self._waiters and not self.paused and self._clock() >= self._grants[self._oldest - 1] + self._per

    def try_acquire(self) -> bool:
        """Take a permit if one is due and nobody waits for it."""
        if self._waiters:
            return False
        now = self._clock()
        if now < self._due():
            return False
        self._take(now)
        return True

    async def acquire(self) -> None:
        """Wait for a permit, first come first served."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._arm()
        await waiter

    def pause(self, seconds: float) -> None:
        """Grant nothing for that long; a pause that is already longer stays."""
        now = self._clock()
        until = now + seconds
        if until > self._paused_until:
            self.throttled_s += until - max(now, self._paused_until)
            self._paused_until = until

    def _due(self) -> float:
        """Give the moment of the next grant: evenly spaced, after the pause, and never more than `count` in a window."""
        return max(self._next, self._paused_until, self._grants[self._oldest] + self._per)

    def _take(self, now: float) -> None:
        self._next = max(self._next, now - _CATCH_UP_S) + self._interval
        self._grants[self._oldest] = now
        self._oldest = (self._oldest + 1) % len(self._grants)

    def _arm(self) -> None:
        if self._timer is None and self._waiters:
            wait = max(_SHORTEST_TIMER_S, self._due() - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._grant)

    def _grant(self) -> None:
        """Serve, in one go, everybody whose permit fell due."""
        self._timer = None
        now = self._clock()
        while self._waiters and (self._waiters[0].done() or now >= self._due()):
            waiter = self._waiters.popleft()
            if not waiter.done():  # a waiter that was cancelled takes no permit
                self._take(now)
                waiter.set_result(None)
        self._arm()
