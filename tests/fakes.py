"""A source, a sink and a job in memory, and virtual time: what the tests of the engine and its parts stand on."""

import asyncio
import weakref
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import looptime

from worker.budget import ErrorBudget
from worker.engine import Engine
from worker.errors import Transient
from worker.events import Reporter
from worker.job import Job, Result, Run
from worker.ledger import Batch, Committed, Ledger
from worker.limits import Limits
from worker.mask import Mask
from worker.outcome import done
from worker.rate import RateLimit
from worker.retry import Retry
from worker.scope import Scope
from worker.source import Acknowledging, JsonKey, Key, Page, Promise, Source
from worker.stop import Stop, StopPlan
from worker.tally import Tally

T = TypeVar("T")
Process = Callable[[Any], Awaitable[Any]]

ANY_FAILURES = ErrorBudget(share=None)
PLAN = StopPlan(timeout=30, drain=10, commit=5, report=5)


def virtually(made: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a fresh loop whose time is virtual."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(made)


def now() -> float:
    """Give the loop's time."""
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def turns(clock: Callable[[], float]) -> AsyncIterator[list[float]]:
    """Note, meanwhile, how long the loop takes to come round."""
    took: list[float] = []

    async def watch() -> None:
        last = clock()
        while True:
            await asyncio.sleep(0)
            took.append(clock() - last)
            last = clock()

    watching = asyncio.create_task(watch())
    yield took
    watching.cancel()


class Steady(Retry):
    """Wait `first` seconds before each try, with no chance in it."""

    def delay(self, tries: int) -> float:
        """Give the same each time."""
        return self.first


class Row(dict[str, Any]):
    """A record; unlike a plain dict it can be watched as it comes and goes."""

    @property
    def id(self) -> int:
        """Give its key."""
        key: int = self["id"]
        return key


class Rows:
    """A source over ids: slow, failing or changing on demand, and aware of how many of its rows are held."""

    promise = Promise.STABLE
    order = "id"

    def __init__(self, ids: Sequence[int], *, delay_s: float = 0.0, failures: int = 0) -> None:
        self._ids = ids
        self.delay_s = delay_s
        self.again_s = delay_s
        self.failures = failures
        self.broken: Exception | None = None
        self.gone: set[int] = set()
        self.versions: dict[int, int] = {}
        self.sizes: list[int] = []
        self.reread: list[list[int]] = []
        self.held = self.most_held = 0

    def key(self, record: Row) -> Key:
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
        """Count what follows."""
        return len(self._ids) - self._place(after)

    async def page(self, after: Key | None, size: int) -> Page:
        """Read a page."""
        self.sizes.append(size)
        await self._answer(self.delay_s)
        place = self._place(after)
        rows: list[Row] = []
        while len(rows) < size and place < len(self._ids):
            if self._ids[place] not in self.gone:
                rows.append(self._row(self._ids[place]))
            place += 1
        return Page(rows, (rows[-1].id,) if len(rows) == size else None)

    async def records(self, keys: Sequence[Key]) -> list[Row]:
        """Read records afresh."""
        self.reread.append([key[0] for key in keys])
        await self._answer(self.again_s)
        return [self._row(key[0]) for key in keys if key[0] not in self.gone]

    async def _answer(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        if self.failures:
            self.failures -= 1
            raise Transient("the source is away")
        if self.broken:
            raise self.broken

    def _place(self, after: Key | None) -> int:
        return 0 if after is None else bisect_right(self._ids, after[0])

    def _row(self, number: int) -> Row:
        row = Row(id=number, version=self.versions.get(number, 0), read_at=now())
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        weakref.finalize(row, self._let_go)
        return row

    def _let_go(self) -> None:
        self.held -= 1


class Batches:
    """A sink that keeps what was committed, unless told not to; slow, failing or leaving results out on demand."""

    def __init__(self, *, delay_s: float = 0.0, errors: Iterable[Exception] = (), keeps: bool = True) -> None:
        self.delay_s, self._keeps = delay_s, keeps
        self.errors = list(errors)
        self.answer: Callable[[Batch], Committed] | None = None
        self.all: list[Batch] = []
        self.at: list[float] = []
        self.calls = 0

    async def commit(self, batch: Batch, writing: Callable[[], None]) -> Committed:
        """Commit a batch, after what it has to do first."""
        writing()
        self.calls += 1
        await asyncio.sleep(self.delay_s)
        if self.errors:
            raise self.errors.pop(0)
        if self._keeps:
            self.all.append(batch)
        self.at.append(now())
        return self.answer(batch) if self.answer else Committed(len(self.at))

    def ids(self) -> list[int]:
        """Give the ids of all results, in the order of their commits."""
        return [result.record["id"] for batch in self.all for result in batch.results]

    def dead(self) -> list[int]:
        """Give the ids of all dead letters, in the order of their commits."""
        return [letter.key[0] for batch in self.all for letter in batch.dead_letters]

    @property
    def last(self) -> Batch:
        """Give the last batch."""
        return self.all[-1]


class Working(Job[Scope]):
    """A job whose `process` is a function."""

    def __init__(self, process: Process, retry: Retry) -> None:
        self._process = process
        self.retry = retry  # type: ignore[misc]  # a job file says it once for the class

    async def process(self, record: Row, run: Run[Scope]) -> Any:
        """Do what the function does."""
        return await self._process(record)


async def at_once(row: Row) -> Any:
    """Finish a record with its own id as the value."""
    return done(row.id)


def engine_over(
    source: Source,
    process: Process = at_once,
    sink: Batches | None = None,
    *,
    limits: Limits | None = None,
    retry: Retry | None = None,
    errors: ErrorBudget = ANY_FAILURES,
    before: Tally | None = None,
    max_affected: int | None = None,
    after: JsonKey | None = None,
    open_keys: Sequence[JsonKey] = (),
    max_records: int | None = None,
    stop: Stop | None = None,
    reporter: Reporter | None = None,
    patience_s: float = 300.0,
    clock: Callable[[], float] = now,
) -> Engine:
    """Build an engine on virtual time; call it in the running loop."""
    limits, reporter = limits or Limits(), reporter or Reporter()
    rates = {rate.name: RateLimit(rate, clock) for rate in (*((limits.rate,) if limits.rate else ()), *limits.rates)}
    if limits.rate is None:
        rates["rate"] = RateLimit(None, clock)
    ledger = Ledger(
        keeps_results=True,
        keeps_records=isinstance(source, Acknowledging),
        encode=source.encode,
        budget=errors,
        before=before or Tally(),
        max_affected=max_affected,
        mask=Mask(),
        on_group=reporter.failed,
    )
    return Engine(
        Working(process, retry or Retry()),
        Run("job", "key", Scope()),
        source,
        sink or Batches(),
        ledger=ledger,
        after=None if after is None else source.decode(after),
        open_keys=[source.decode(key) for key in open_keys],
        max_records=max_records,
        limits=limits,
        rates=rates,
        stop=Stop() if stop is None else stop,
        plan=PLAN,
        reporter=reporter,
        patience_s=patience_s,
        clock=clock,
    )


def adds_up(engine: Engine) -> bool:
    """Tell whether every record that was read is in just one count."""
    tally = engine.ledger.tally
    held = engine.in_flight + engine.supply.parked + engine.supply.ahead
    return engine.supply.read == tally.finished + held


def result(number: int) -> Result:
    """Make a finished record."""
    return Result(Row(id=number), number)
