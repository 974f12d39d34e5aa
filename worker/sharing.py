"""A task's portion of a shared rate limit: asked for every second, beside the work and never on a record's path."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import ceil, inf

from worker.errors import Transient
from worker.limits import Rate
from worker.pacing import Taken
from worker.portions import CLOCKS_S, LEASE_S, Ask, Grant, Portions, coarse
from worker.rate import RateLimit

_EVERY_S, _SOON_S = 1.0, 0.25
"""Pauses between asks; the shorter one where others are about to give back."""
_MEASURED_S = 0.5
"""What was used in less says nothing."""
_USED, _MORE = 0.9, 1.25
"""Who used so much of what was due wants all; who did not wants so much more than it used."""
_SLICES = 50
"""What was taken in a window is told in so many parts."""
_GOODBYE_S = 1.0


class Sharing:
    """Keeps a limit at the portion that is its task's.

    Where the run store does not answer, the task goes on with its last portion for as long as nobody else can be given it,
    and waits after that.
    """

    def __init__(
        self,
        rate: Rate,
        limit: RateLimit,
        portions: Portions,
        log: logging.Logger,
        clock: Callable[[], float] = time.monotonic,
        lease_s: float = LEASE_S,
    ) -> None:
        self.rate, self._limit, self._portions, self._log, self._clock = rate, limit, portions, log, clock
        self._lease_s = lease_s
        self._holder = secrets.token_hex(8)
        self._number = self._heard = 0
        self._given: list[Taken] = []
        self._wanted = (rate.count, rate.count)
        self._measured = (clock(), limit.taken)
        self._warned = False
        self.portion = 0

    async def first(self) -> None:
        """Get a portion, as small as may be: enough for what a job asks before its work. Raises Transient, and Permanent as `keep`."""
        self._wanted = (1, 1)
        pause = await self.ask()
        if not self._limit.portion:
            told = (
                "waiting for a portion of limit %s: other tasks have all of it; what a dead one had is free within %g s"
            )
            self._log.info(told, self.rate.name, self._lease_s)
        while not self._limit.portion:
            await asyncio.sleep(pause)
            pause = await self.ask()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep that first portion for a while, and give it back."""
        keeping = asyncio.create_task(self.keep())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await self.leave()

    async def work(self) -> None:
        """Ask for as much as the work needs, for ever; raises as `keep`."""
        self._wanted = (self.rate.count, self.rate.count)
        self._measured = (self._clock(), self._limit.taken)
        await self.keep()

    async def keep(self) -> None:
        """Ask for ever; raises Permanent where the limit cannot be shared as it is declared."""
        while True:
            pause = _EVERY_S
            try:
                pause = await self.ask()
            except Transient as error:
                self._log.debug("limit %s stays at its last portion: %s", self.rate.name, error)
            await asyncio.sleep(pause)

    async def ask(self) -> float:
        """Ask once, and give back at once what others lack; give the time until the next ask."""
        grant = await self._settle(self._limit.portion, self._wants())
        self._warn(grant)
        if grant.fair < grant.portion:
            self._given += self._limit.part(grant.fair)
            grant = await self._settle(grant.fair, self._wanted[-1])
        self.portion = grant.portion
        return _SOON_S if grant.portion < grant.fair else _EVERY_S

    async def leave(self) -> None:
        """Give everything back, if the run store answers soon."""
        self._given += self._limit.part(0)
        with contextlib.suppress(Transient, TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self._settle(0, 0, leaving=True)

    async def _settle(self, portion: int, wants: int, *, leaving: bool = False) -> Grant:
        self._number += 1
        asked_at = self._clock()
        given = coarse(((asked_at - at, permits) for at, permits in self._given), self.rate.per / _SLICES)
        ask = Ask(
            holder=self._holder,
            number=self._number,
            count=self.rate.count,
            per=self.rate.per,
            portion=portion,
            wants=wants,
            given=tuple(given),
            heard=self._heard,
            lease_s=self._lease_s,
            leaving=leaving,
        )
        grant = await self._portions.settle(self.rate.name, ask)
        self._heard, self._given = self._number, []
        now = self._clock()
        until = inf if leaving else asked_at + self._lease_s - CLOCKS_S
        self._limit.hold(grant.portion, [(now - age, permits) for age, permits in grant.taken], until)
        return grant

    def _wants(self) -> int:
        """Give what the task could use a window: all, where it waits for permits and used what it had."""
        now, used = self._clock(), self._limit.taken
        (since, before), portion = self._measured, self._limit.portion
        if now - since >= _MEASURED_S:
            windows = (now - since) / self.rate.per
            hungry = self._limit.asked_for() and used - before >= _USED * portion * windows - 1
            wants = self.rate.count if hungry else min(self.rate.count, ceil(_MORE * (used - before) / windows) + 1)
            self._wanted, self._measured = (self._wanted[-1], wants), (now, used)
        return max(self._wanted)

    def _warn(self, grant: Grant) -> None:
        if grant.lowest < grant.highest and not self._warned:
            self._warned = True
            told = (self.rate.name, self.rate, grant.lowest, grant.highest)
            self._log.warning(
                "limit %s: here %s, but jobs at work declare from %g to %g a second: the lowest holds", *told
            )
