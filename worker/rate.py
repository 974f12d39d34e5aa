"""The rate limit at work: never more than `count` grants in any window of `per` seconds, evenly spaced, in order of asking.

aiolimiter, the usual choice, lets twice the rate through in some windows and waiters overtake each other: docs/adr/0003.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from math import inf

from worker.limits import Rate

_SLACK = 1.005
"""Windows are kept half a per cent longer than promised: room for the time between a grant and the send."""
_CATCH_UP_S = 0.05
"""A grant that comes late may be made up for, within the strict window, if it is no later than this."""
_SHORTEST_TIMER_S = 0.001
"""uvloop's timers count milliseconds; shorter ones fire at once and would spin the loop."""
_GRAIN = 0.001
"""Grants within this share of a window are remembered as one: a high rate costs no memory."""


class RateLimit:
    """Grant permits; `None` for a rate means no limit, but `pause` still holds everybody.

    `credit` counts the permits that fell due and are free for the taking, now or later; while somebody waits there are none.
    As long as it is above 1 a caller in a hurry may take 1 from it by himself: that saves the engine a look at the clock and
    a call for each record. The last one goes by `try_acquire`, which books when they were taken. The clock is
    `time.monotonic`: uvloop's is a cached millisecond.
    """

    def __init__(self, rate: Rate | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._paused_until = self._next = -inf
        self.throttled_s = 0.0
        self._count = rate.count if rate else inf
        self._window = rate.per * _SLACK if rate else 0.0
        self._grain = rate.per * _GRAIN if rate else 0.0
        self._interval = (self._window + self._grain) / self._count
        self.credit = self._given = 0.0 if rate else inf
        self._grants: deque[tuple[float, float, float]] = deque()  # of the last window: from when, until when, how many
        self._in_window = 0.0

    @property
    def paused(self) -> bool:
        """Tell whether the other side asked for a pause that is not over yet."""
        return self._clock() < self._paused_until

    @property
    def wait_s(self) -> float:
        """Give about how long a permit would take to come to who asks for it now, in seconds."""
        now = self._clock()
        self._book(now)
        due = 0.0 if self.credit >= 1 else max(0.0, self._due() - now)
        return due + self._interval * len(self._waiters)

    @property
    def idle(self) -> bool:
        """Tell whether the limit remembers nothing that the next grant depends on."""
        self._book(self._clock())
        return not self._waiters and not self.paused and not self._grants

    def try_acquire(self) -> bool:
        """Take a permit if one is due and nobody waits for it."""
        if self.credit > 1:
            self.credit -= 1
            return True
        if self._waiters:
            return False
        now = self._clock()
        if self.credit < 1 and not self._fall_due(now):
            return False
        self.credit -= 1
        self._book(now)
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
            self._book(now)
            self.credit = self._given = 0.0

    def _fall_due(self, now: float) -> bool:
        """Give credit for what fell due by now: evenly spaced, after the pause, never more than `count` in a window."""
        if now < self._paused_until:
            return False
        if self._count == inf:
            self.credit = inf
            return True
        self._book(now)
        begin = max(self._next, now - _CATCH_UP_S)
        if now < begin:
            return False
        self.credit = self._given = min((now - begin) // self._interval + 1.0, self._count - self._in_window)
        self._next = begin + self.credit * self._interval
        return self.credit >= 1

    def _book(self, now: float) -> None:
        """Remember when credit was taken, now at the latest, and forget what is older than a window."""
        if self._given > self.credit:
            since, taken = now, self._given - self.credit
            self._given = self.credit
            self._in_window += taken
            if self._grants and now - self._grants[-1][0] < self._grain:
                since, _, earlier = self._grants.pop()
                taken += earlier
            self._grants.append((since, now, taken))
        while self._grants and self._grants[0][1] <= now - self._window:
            self._in_window -= self._grants.popleft()[2]

    def _due(self) -> float:
        """Give the moment at which the next permit falls due."""
        full = self._grants[0][1] + self._window if self._in_window >= self._count else -inf
        return max(self._next, self._paused_until, full)

    def _arm(self) -> None:
        if self._timer is None and self._waiters:
            wait = max(_SHORTEST_TIMER_S, self._due() - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._serve)

    def _serve(self) -> None:
        """Serve, in one go, everybody whose permit fell due; a waiter that was cancelled takes none."""
        self._timer, now = None, self._clock()
        if self.credit < 1:
            self._fall_due(now)
        while self._waiters and (self.credit >= 1 or self._waiters[0].done()):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.credit -= 1
                waiter.set_result(None)
        self._book(now)
        self._arm()
