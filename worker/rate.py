"""The rate limit at work: never more than `count` permits taken in any window of `per` seconds, evenly, in order of asking.

What is promised holds for whoever sends as soon as he goes on with his permit. Permits count as taken at the next look at the
limit, or when the loop has come round: by then they are sent, however long the process was held up in between. aiolimiter, the
usual choice, lets twice the rate through in some windows and waiters overtake each other: docs/adr/0003.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import inf

from worker.limits import Rate
from worker.pacing import Pace, Taken, Window

_SLACK = 1.005
"""Windows are kept half a per cent longer than promised: room for what is late between us and the other side."""
_SHARED_SLACK = 1.015
"""More of it where several tasks add up: each of them may be late for itself."""
_GRAIN = 0.001
"""What is taken within this share of a window is remembered as one: a high rate costs no memory."""
_ROOM = 0.0025
"""The even pace is so much slower than a full window: what made up for a hold-up does not fill window after window."""
_CATCH_UP_S = 0.05
"""Permits that somebody waited for and could not take are made up for, within the strict window, if no later than this …"""
_HURRY = 1.25
"""… and no faster than this: a clump would come back a window later, and its sends are spread by chance over two of them."""
_LATE_TIMER_S = 0.003
"""A timer may be as late as this without a hurry; what nobody waited for is made up for if no later than this."""
_SHORTEST_TIMER_S = 0.001
"""uvloop's timers count milliseconds; shorter ones fire at once and would spin the loop …"""
_EARLY_TIMER_S = 0.0005
"""… and others as much as this too early, so that one look in four came in vain. Ten times as long a wait takes it on top."""
_NONE = Rate(10**12)
"""No limit is one that nobody reaches."""


class RateLimit:
    """Give out permits; `None` for a rate means no limit, but `pause` still holds everybody.

    Permits that fell due together may be lent together, to be used one by one without a look at the limit: that saves the engine a
    call and a look at the clock for each record. Before the limit looks at what was taken, it has `take_back` give back those that
    are left. The clock is `time.monotonic`: uvloop's is a cached millisecond.
    """

    def __init__(self, rate: Rate | None, clock: Callable[[], float] = time.monotonic) -> None:
        rate = rate or _NONE
        slack = _SHARED_SLACK if rate.shared else _SLACK
        self._clock = clock
        self._spacing = rate.per * (slack + _ROOM)
        self._interval = self._spacing / rate.count
        self._window = Window(rate.count, rate.per * slack, rate.per * _GRAIN)
        self._even = Pace(self._interval, _CATCH_UP_S)
        self._hurry = Pace(self._interval / _HURRY, _LATE_TIMER_S)
        self._paused_until = -inf
        self.until = inf  # from then on nothing is given
        self.taken = 0.0
        self._waited = False
        self._credit = self._given = 0.0  # free for the taking, now or later; the second as of the last booking
        self.take_back: Callable[[], int] | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._woken = 0  # waiters whose permit fell due, until the loop has come round
        self._gone_on = 0  # those of them who went on with it
        self._timer: asyncio.TimerHandle | None = None
        self.throttled_s = 0.0
        self._all, self._alone = rate.count, not rate.shared
        if rate.shared:
            self.hold(0, ())

    @property
    def paused(self) -> bool:
        """Tell whether the other side asked for a pause that is not over yet."""
        return self._clock() < self._paused_until

    @property
    def wait_s(self) -> float:
        """Give about how long a permit would take to come to who asks for it now, in seconds."""
        now = self._clock()
        self._book(now)
        due = 0.0 if self._credit >= 1 else max(0.0, self._soonest - now)
        return due + self._interval * (self._woken + len(self._waiters))

    @property
    def idle(self) -> bool:
        """Tell whether the limit remembers nothing that the next permit depends on."""
        self._book(self._clock())
        return not self._waiters and not self._woken and not self.paused and self._window.empty(self._clock())

    def try_acquire(self) -> bool:
        """Take a permit if one is due and nobody waits for it."""
        self._lapse()
        if self._credit > 1:
            self._credit -= 1
            return True
        if self._waiters or self._woken:
            return False
        if self._credit < 1:
            now = self._clock()
            self._book(now)
            self._even.forgo(now - _LATE_TIMER_S)
            self._credit = self._given = self._due(now)
            if self._credit < 1:
                return False
        self._credit -= 1
        if self._credit < 1:
            asyncio.get_running_loop().call_soon(self._book_now)
        return True

    def lend(self, most: int) -> int:
        """Give out permits that are free for the taking, so many at most; the last of them goes by `try_acquire`."""
        self._lapse()
        many = min(most, int(self._credit) - 1)
        if many <= 0:
            return 0
        self._credit -= many
        return many

    def give_back(self, many: int) -> None:
        """Take back so many of what was lent: they were not used."""
        self._credit += many

    async def acquire(self) -> None:
        """Wait for a permit, first come first served."""
        if self.try_acquire():
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._waited = True
        self._arm()
        await waiter
        self._gone_on += 1

    def pause(self, seconds: float) -> None:
        """Give nothing for that long; a pause that is already longer stays."""
        now = self._clock()
        until = now + seconds
        if until > self._paused_until:
            self.throttled_s += until - max(now, self._paused_until)
            self._paused_until = until
            self._book(now)
            self._credit = self._given = 0.0

    # --- a portion of a limit that several tasks share ------------------------------------------------------------------

    @property
    def portion(self) -> int:
        """Give how many permits a window has now."""
        return self._window.count

    def asked_for(self) -> bool:
        """Tell whether somebody had to wait since this was asked last, or does now."""
        waited, self._waited = self._waited, bool(self._waiters)
        return waited

    def hold(self, count: int, taken: Iterable[Taken], until: float = inf) -> None:
        """Go on with `count` permits a window, some of which others have taken; from `until` on with none."""
        with self._changed():
            self._room_for_others(count < self._all)
            self._window.join(count, taken)
            self.until = until

    def _room_for_others(self, there_are: bool) -> None:
        """Keep windows longer while others have a part of the limit: who has all of it is late for himself alone."""
        if there_are == self._alone:
            factor = _SHARED_SLACK / _SLACK if there_are else _SLACK / _SHARED_SLACK
            self._spacing *= factor
            self._window.stretch(factor)
            self._alone = not there_are

    def part(self, count: int) -> list[Taken]:
        """Go down to `count`; give what was taken of the rest, for the next who has that is bound by it."""
        now = self._clock()
        with self._changed():
            going_on = [(now, float(self._woken))] if self._woken else []  # they take theirs in a moment
            return [*self._window.part(count, now), *going_on]

    @contextmanager
    def _changed(self) -> Iterator[None]:
        now = self._clock()
        self._book(now)
        self._credit = self._given = 0.0
        yield
        self._interval = self._spacing / self._window.count if self._window.count else inf
        self._even.hasten(self._interval, now)
        self._hurry.hasten(self._interval / _HURRY, now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    # --- what is due ----------------------------------------------------------------------------------------------------

    @property
    def _soonest(self) -> float:
        return max(self._window.next(), self._even.next, self._hurry.next, self._paused_until)

    def _due(self, now: float) -> float:
        """Count the permits that have fallen due by now and may still be taken."""
        if now < self._paused_until or now >= self.until:
            return 0.0
        return min(self._window.due(now), self._even.due(now), self._hurry.due(now))

    def _lapse(self) -> None:
        """Let go of what is free for the taking once the portion that it came from is over: it may be somebody else's."""
        if self.until < inf and (now := self._clock()) >= self.until:
            self._book(now)
            self._credit = self._given = 0.0

    def _book(self, now: float) -> None:
        """Book what is gone from the credit: it was taken by now."""
        if self.take_back is not None:
            self._credit += self.take_back()
        if self._given > self._credit:
            self._take(self._given - self._credit, now)
            self._given = self._credit

    def _book_now(self) -> None:
        self._book(self._clock())

    def _book_woken(self) -> None:
        """Book what those have taken who were woken together, and let the next ones be woken."""
        if self._gone_on:
            self._take(self._gone_on, self._clock())
        self._woken = self._gone_on = 0
        self._arm()

    def _take(self, permits: float, now: float) -> None:
        self.taken += permits
        self._window.take(permits, now)
        self._even.take(permits, now)
        self._hurry.take(permits, now)

    def _arm(self) -> None:
        """See to it that the next ones are woken, once those before them are booked."""
        if self._timer is None and self._waiters and not self._woken:
            now, soonest = self._clock(), self._soonest
            if max(now, soonest) < self.until:  # else a new portion wakes them
                wait = soonest - now
                wait = wait + _EARLY_TIMER_S if wait > 10 * _EARLY_TIMER_S else max(_SHORTEST_TIMER_S, wait)
                self._timer = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        """Wake, in one go, everybody whose permit fell due; a waiter that was cancelled takes none."""
        now, self._timer = self._clock(), None
        self._book(now)
        due = self._due(now)
        while self._waiters and (self._woken < due or self._waiters[0].done()):
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._woken += 1
                waiter.set_result(None)
        if self._woken:
            asyncio.get_running_loop().call_soon(self._book_woken)  # the loop comes to it after them
        else:
            self._arm()
