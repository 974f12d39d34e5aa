"""Limits per host, for calls whose URLs come from records: nobody is called too often, and nobody holds up the others."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from worker.errors import Postponed, Throttled, Transient
from worker.limits import Limits
from worker.rate import RateLimit

_IN_PLACE_S = 0.2
"""A turn that is this near is waited for where one is; for a later one the record makes room."""
_UNHURRIED_S = 0.02
"""Between the turns of records that wait for a call to end, where there is no rate."""
_PAUSE_S = (1.0, 30.0)
"""First and longest pause, in seconds, when a host asks for one and does not say how long."""
_MOST = 1_000
"""Hosts that are remembered, beside those that must be."""


class Hosts:
    """The limits of each host, made when it is first called: `rate` and `concurrency` of `limits`."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def __len__(self) -> int:
        return len(self._hosts)

    @asynccontextmanager
    async def turn(self, name: str) -> AsyncIterator[None]:
        """Hold a host's permit for one call. Raises Postponed where it is not to be had soon.

        A call that was throttled pauses its host and nobody else. It was a try: one that is refused for ever is not tried
        for ever.
        """
        host = self._host(name)
        if host.calls >= self._limits.concurrency or host.limit.wait_s > _IN_PLACE_S:
            raise Postponed(f"{name} has as much to do as it may", host.next_turn())
        host.calls += 1
        try:
            await host.limit.acquire()
            yield
            host.throttles = 0
        except Throttled as error:
            host.pause(error.retry_after_s)
            raise Transient(str(error)) from error
        finally:
            host.calls -= 1

    def _host(self, name: str) -> "_Host":
        if name not in self._hosts:
            self._hosts[name] = _Host(self._limits, self._clock)
            self._forget()
        self._hosts.move_to_end(name)
        return self._hosts[name]

    def _forget(self) -> None:
        """Forget hosts whose limits remember nothing, the longest unused first."""
        for name in list(self._hosts)[: max(0, len(self._hosts) - _MOST)]:
            if self._hosts[name].idle:
                del self._hosts[name]


class _Host:
    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limit = RateLimit(limits.rate, clock)
        self.calls = self.throttles = 0
        self._clock = clock
        self._interval = 1 / limits.rate.per_second if limits.rate else _UNHURRIED_S
        self._turns_until = 0.0  # until then, each turn is given to a record that was postponed

    @property
    def idle(self) -> bool:
        return not self.calls and self.limit.idle and self._turns_until <= self._clock()

    def next_turn(self) -> float:
        """Give a turn of its own to a record that is postponed, in seconds from now: all at once would come in vain."""
        now = self._clock()
        turn = max(now + self.limit.wait_s, self._turns_until) + self._interval
        self._turns_until = turn
        return turn - now

    def pause(self, asked_s: float | None) -> None:
        """Call nobody there for as long as was asked; where that was not said, longer each time."""
        first, longest = _PAUSE_S
        if asked_s or not self.limit.paused:
            self.limit.pause(asked_s or min(longest, first * 2.0 ** min(self.throttles, 10)))
            self.throttles += 1
