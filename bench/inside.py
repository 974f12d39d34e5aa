"""The engine alone, in this process: records out of memory, page commits into nothing, every guarantee at work."""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence

import uvloop

from worker.budget import ErrorBudget
from worker.engine import Engine
from worker.events import Reporter
from worker.job import Job, Run
from worker.ledger import Batch, Committed, Ledger
from worker.limits import Limits, Rate
from worker.mask import Mask
from worker.outcome import Outcome, done
from worker.rate import RateLimit
from worker.scope import Scope
from worker.source import JsonKey, Key, Page, Promise, Record
from worker.stop import Stop, StopPlan
from worker.tally import Tally

LIMITS = Limits(concurrency=64, rate=Rate(20_000_000), page_size=1_000, max_age=30)
_AT_HAND = 10_000


class Rows:
    """A source that costs nothing: the same rows over and over, in pages."""

    promise = Promise.STABLE
    order = "id"

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._read = 0
        self._records = [{"id": number} for number in range(_AT_HAND)]

    def key(self, record: Record) -> Key:
        """Give the id."""
        return (record["id"],)

    def encode(self, key: Key) -> JsonKey:
        """Give the key as a list."""
        return list(key)

    def decode(self, key: JsonKey) -> Key:
        """Give the key as a tuple."""
        return tuple(key)

    async def check(self) -> list[str]:
        """Find nothing."""
        return []

    async def count(self, after: Key | None) -> int:
        """Count what is left."""
        return self._rows - self._read

    async def page(self, after: Key | None, size: int) -> Page:
        """Give the next rows."""
        first = self._read % _AT_HAND
        rows = self._records[first : first + min(size, self._rows - self._read)]
        self._read += len(rows)
        return Page(rows, (self._read,) if self._read < self._rows else None)

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Give nothing: no row is read again here."""
        return ()


class Nowhere:
    """A sink that takes everything."""

    def __init__(self) -> None:
        self._commits = 0

    async def commit(self, batch: Batch, writing: Callable[[], None]) -> Committed:
        """Take it."""
        writing()
        self._commits += 1
        return Committed(self._commits)


class Noop(Job[Scope]):
    """Do nothing."""

    async def process(self, record: Record, run: Run[Scope]) -> Outcome:
        """Say that it is done."""
        return done()


def engine(rows: int, clock: Callable[[], float] = time.monotonic) -> Engine:
    """Build the engine over that many rows, as `worker.run` does."""
    limits = LIMITS
    source = Rows(rows)
    ledger = Ledger(
        keeps_results=False,
        encode=source.encode,
        budget=ErrorBudget(),
        before=Tally(),
        mask=Mask(),
        on_group=lambda group: None,
    )
    return Engine(
        Noop(),
        Run("noop", "bench", Scope(), limits=limits),
        source,
        Nowhere(),
        ledger=ledger,
        limits=limits,
        rates={"rate": RateLimit(limits.rate, clock)},
        stop=Stop(),
        plan=StopPlan.within(30),
        reporter=Reporter(),
        clock=clock,
    )


def seconds(rows: int, clock: Callable[[], float] = time.monotonic) -> float:
    """Work on so many rows and give the CPU seconds that it took."""

    async def measured() -> float:
        working = engine(rows, clock)
        began = time.process_time()
        await working.work()
        assert working.supply.read == rows
        return time.process_time() - began

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measured())


def even_clock() -> Callable[[], float]:
    """Make a clock that goes on by a microsecond at each look: the same steps on any machine, and under valgrind."""
    return itertools.count(1.0, 1e-6).__next__
