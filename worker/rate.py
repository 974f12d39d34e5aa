"""The rate limit at work: never more than `count` permits taken in any window of `per` seconds, evenly, in order of asking.

What is promised holds for when permits are *taken*: who waited takes his when he goes on, not when he is woken. aiolimiter,
the usual choice, lets twice the rate through in some windows and waiters overtake each other: docs/adr/0003.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from math import inf

from worker.limits import Rate

_SLACK = 1.005
"""Windows are kept half a per cent longer than promised: room for the time between taking a permit and sending."""
_GRAIN = 0.001
"""What is taken within this share of a window is remembered as one: a high rate costs no memory."""
_CATCH_UP_S = 0.05
"""Permits that were not taken when they fell due are made up for, within the strict window, if no later than this …"""
_HURRY = 1.25
"""… and no faster than this: a clump would come back a window later, and its sends are spread by chance over two of them."""
_LATE_TIMER_S = 0.003
"""A timer may be as late as this without a hurry."""
_SHORTEST_TIMER_S = 0.001
"""uvloop's timers count milliseconds; shorter ones fire at once and would spin the loop."""
_NONE = Rate(10**12)
"""No limit is one that nobody reaches."""


class _Window:
    """At most `count` in any window; all that is taken within a grain counts as taken at its end."""

    def __init__(self, count: int, length: float, grain: float) -> None:
        self._count, self._length, self._grain = count, length, grain
        self._grains: deque[tuple[float, float]] = deque()  # of the last window: when it ends, how many
        self._taken = 0.0

    def due(self, now: float) -> float:
        """Count what may be taken."""
        while self._grains and self._grains[0][0] <= now - self._length:
            self._taken -= self._grains.popleft()[1]
        return self._count - self._taken

    def empty(self, now: float) -> bool:
        """Tell whether nothing that was taken is remembered."""
        return self.due(now) == self._count

    def next(self) -> float:
        """Give the moment from which something may be taken."""
        return self._grains[0][0] + self._length if self._taken >= self._count else -inf

    def take(self, permits: float, now: float) -> None:
        """Note that so many are taken."""
        end, earlier = (now // self._grain + 1.0) * self._grain, 0.0
        if self._grains and self._grains[-1][0] >= end:
            earlier = self._grains.pop()[1]
        self._grains.append((end, earlier + permits))
        self._taken += permits


class _Pace:
    """One after the other at even spacing; what was not taken in time may be taken at once, if it is no later than `late`."""

    def __init__(self, interval: float, late: float) -> None:
        self._interval, self._late = interval, late
        self.next = -inf

    def due(self, now: float) -> float:
        """Count what may be taken."""
        return 0.0 if now < self.next else (now - max(self.next, now - self._late)) // self._interval + 1.0

    def take(self, permits: float, now: float) -> None:
        """Note that so many are taken."""
        self.next = max(self.next, now - self._late) + permits * self._interval


class RateLimit:
    """Give out permits; `None` for a rate means no limit, but `pause` still holds everybody.

    `credit` counts permits that are free for the taking, now or later; while somebody waits there are none. As long as it is
    above 1 a caller in a hurry may take 1 from it by himself: that saves the engine a look at the clock and a call for each
    record. The last one goes by `try_acquire`, which books them all as taken at that moment, the latest that it can have been.
    The clock is `time.monotonic`: uvloop's is a cached millisecond.
    """

    def __init__(self, rate: Rate | None, clock: Callable[[], float] = time.monotonic) -> None:
        rate = rate or _NONE
        self._clock = clock
        self._interval = rate.per * (_SLACK + _GRAIN) / rate.count
        self._window = _Window(rate.count, rate.per * _SLACK, rate.per * _GRAIN)
        self._even = _Pace(self._interval, _CATCH_UP_S)
        self._hurry = _Pace(self._interval / _HURRY, _LATE_TIMER_S)
        self._paused_until = -inf
        self.credit = self._given = 0.0  # the second as of the last booking
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._woken = 0  # waiters whose permit fell due, and who have not gone on yet
        self._timer: asyncio.TimerHandle | None = None
        self.throttled_s = 0.0

    @property
    def paused(self) -> bool:
        """Tell whether the other side asked for a pause that is not over yet."""
        return self._clock() < self._paused_until

    @property
    def wait_s(self) -> float:
        """Give about how long a permit would take to come to who asks for it now, in seconds."""
        due = 0.0 if self.credit >= 1 else max(0.0, self._soonest - self._clock())
        return due + self._interval * (self._woken + len(self._waiters))

    @property
    def idle(self) -> bool:
        """Tell whether the limit remembers nothing that the next permit depends on."""
        self._book(self._clock())
        return not self._waiters and not self._woken and not self.paused and self._window.empty(self._clock())

    def try_acquire(self) -> bool:
        """Take a permit if one is due and nobody waits for it."""
        if self.credit > 1:
            self.credit -= 1
            return True
        if self._waiters or self._woken:
            return False
        now = self._clock()
        if self.credit < 1:
            self.credit = self._given = self._due(now)
            if self.credit < 1:
                return False
        self.credit -= 1
        if self.credit < 1:
            self._book(now)
        return True

    async def acquire(self) -> None:
        """Wait for a permit, first come first served."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._arm()
        try:
            await waiter
            self._take(1, self._clock())
        finally:
            if waiter.done() and not waiter.cancelled():  # woken, even if it is cancelled before it goes on
                self._woken -= 1
                self._arm()

    def pause(self, seconds: float) -> None:
        """Give nothing for that long; a pause that is already longer stays."""
        now = self._clock()
        until = now + seconds
        if until > self._paused_until:
            self.throttled_s += until - max(now, self._paused_until)
            self._paused_until = until
            self._book(now)
            self.credit = self._given = 0.0

    @property
    def _soonest(self) -> float:
        return max(self._window.next(), self._even.next, self._hurry.next, self._paused_until)

    def _due(self, now: float) -> float:
        """Count the permits that have fallen due by now and may still be taken."""
        if now < self._paused_until:
            return 0.0
        return min(self._window.due(now), self._even.due(now), self._hurry.due(now))

    def _book(self, now: float) -> None:
        """Book what is gone from the credit: it was taken by now."""
        if self._given > self.credit:
            self._take(self._given - self.credit, now)
            self._given = self.credit

    def _take(self, permits: float, now: float) -> None:
        self._window.take(permits, now)
        self._even.take(permits, now)
        self._hurry.take(permits, now)

    def _arm(self) -> None:
        """See to it that the next ones are woken, once those before them have gone on."""
        if self._timer is None and self._waiters and not self._woken:
            wait = max(_SHORTEST_TIMER_S, self._soonest - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        """Wake, in one go, everybody whose permit fell due; a waiter that was cancelled takes none."""
        self._timer, due = None, self._due(self._clock())
        while self._waiters and (self._woken < due or self._waiters[0].done()):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._woken += 1
                waiter.set_result(None)
        self._arm()
