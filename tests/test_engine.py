"""The core loop: slots, pages, the window of open keys, progress, and what crashes."""

import asyncio
from typing import Any

import pytest
from fakes import PLAN, Batches, Row, Rows, Steady, adds_up, at_once, engine_over, now, turns

from worker.errors import Transient
from worker.events import Progress, Reporter
from worker.limits import Limits
from worker.outcome import done, failed
from worker.retry import Retry
from worker.stop import Stop

pytestmark = pytest.mark.looptime
ONCE = Retry(attempts=1)


class Told(Reporter):
    """Keep the progress that was told."""

    def __init__(self) -> None:
        self.all: list[Progress] = []

    def progress(self, progress: Progress) -> None:
        """Keep it."""
        self.all.append(progress)


async def test_engine_works_on_every_record_once() -> None:
    """Every record is handed out once, its result committed once."""
    sink = Batches()
    engine = engine_over(Rows(range(2_345)), sink=sink, limits=Limits(page_size=100))
    await engine.work()
    assert sorted(sink.ids()) == list(range(2_345))
    assert engine.complete
    assert engine.ledger.saved.done == sink.last.tally.read == 2_345


async def test_engine_finishes_an_empty_source() -> None:
    """A source without records is complete at once, and committed."""
    sink = Batches()
    engine = engine_over(Rows([]), sink=sink)
    await engine.work()
    assert engine.complete
    assert sink.last.cursor is None


async def test_engine_never_exceeds_its_concurrency() -> None:
    """As many records as there are slots are in flight, and never one more."""
    in_flight = most = 0

    async def process(row: Row) -> Any:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01 * (row.id % 7))
        in_flight -= 1
        if row.id % 5 == 0 and row["version"] == 0:
            row["version"] = 1
            raise Transient("again")
        return done()

    engine = engine_over(Rows(range(500)), process, limits=Limits(concurrency=9, page_size=50))
    await engine.work()
    assert most == 9
    assert engine.ledger.saved.done == 500
    assert engine.ledger.saved.retries == 100


async def test_engine_holds_a_few_pages_whatever_the_size() -> None:
    """Neither the source's length nor a slow sink makes it hold more."""
    source = Rows(range(20_000))
    engine = engine_over(
        source, at_once, Batches(delay_s=0.3, keeps=False), limits=Limits(concurrency=10, page_size=100)
    )
    await engine.work()
    assert engine.ledger.saved.done == 20_000
    assert source.most_held <= 8 * 100


async def test_engine_reads_the_next_page_meanwhile() -> None:
    """While a page is worked on, the next one is read: reading costs no time after the first page."""

    async def process(row: Row) -> Any:
        await asyncio.sleep(0.1)
        return done()

    engine = engine_over(Rows(range(1_000), delay_s=0.9), process, limits=Limits(concurrency=10, page_size=100))
    await engine.work()
    assert now() == pytest.approx(0.9 + 1_000 * 0.1 / 10, abs=0.5)


async def test_engine_keeps_other_slots_busy_beside_a_slow_record() -> None:
    """One record that hangs holds up nobody else."""
    released = asyncio.Event()
    finished = 0

    async def process(row: Row) -> Any:
        nonlocal finished
        if row.id == 0:
            await released.wait()
        finished += 1
        if finished == 2_999:
            released.set()
        return done()

    engine = engine_over(Rows(range(3_000)), process, limits=Limits(concurrency=2, page_size=10, record_timeout=1e6))
    await engine.work()
    assert engine.ledger.saved.done == 3_000


async def test_engine_bounds_the_open_keys_and_says_so() -> None:
    """Records that wait for another try pile up to the window, then no new one is begun."""
    told = Told()

    async def process(row: Row) -> Any:
        raise Transient("not yet")

    limits = Limits(concurrency=5, page_size=10)
    sink = Batches()
    engine = engine_over(
        Rows(range(1_000)), process, sink, limits=limits, retry=Retry(3, 20, 20), reporter=told, max_records=200
    )
    await engine.work()
    assert 20 <= max(len(batch.open_keys) for batch in sink.all) <= 20 + 5
    assert "open keys" in {progress.limited_by for progress in told.all}
    assert engine.limited_by == "open keys"
    assert sorted(sink.dead()) == list(range(200))


@pytest.mark.parametrize("retry", [Retry(3, 20, 20), Steady(attempts=30, first=0.05)])
async def test_engine_says_that_all_it_waits_for_is_retries(retry: Retry) -> None:
    """With every record read and none to be begun, it is not reading that holds it back; nor where they are due at each look."""

    async def process(row: Row) -> Any:
        raise Transient("not yet")

    engine = engine_over(Rows(range(20)), process, retry=retry)
    await engine.work()
    assert engine.limited_by == "retries"


async def test_engine_uses_the_room_in_the_window_at_once() -> None:
    """When the window of open keys has room again, an idle slot goes on, however long the record that made it takes."""
    began: dict[int, float] = {}

    async def process(row: Row) -> Any:
        if row.id in began:
            await asyncio.sleep(50)
            return done()
        began[row.id] = now()
        await asyncio.sleep(2 if row.id else 0)
        if row.id < 12:
            raise Transient("later")
        return done()

    limits = Limits(concurrency=3, page_size=12, record_timeout=100)
    await engine_over(Rows(range(30)), process, limits=limits, retry=Steady(attempts=2, first=10)).work()
    assert 10 <= min(at for at in began.values() if at > 8) < 11, "the window is full at 8 s"


async def test_engine_lets_other_things_run_between_records() -> None:
    """Records that never wait do not keep the loop to themselves, however many slots there are."""
    spent = 0.0

    def clock() -> float:
        return now() + spent

    async def process(row: Row) -> Any:
        nonlocal spent
        spent += 0.005
        return done()

    engine = engine_over(Rows(range(1_000)), process, limits=Limits(concurrency=64), clock=clock)
    async with turns(clock) as took:
        await engine.work()
    assert engine.ledger.saved.done == 1_000
    assert max(took) < 0.031


async def test_engine_tells_its_progress_twice_a_second() -> None:
    """Progress says what is read, done, in flight and how fast, and it adds up each time."""
    told = Told()

    async def process(row: Row) -> Any:
        await asyncio.sleep(0.1)
        return failed("no") if row.id % 10 == 0 else done()

    engine = engine_over(Rows(range(400)), process, limits=Limits(concurrency=10, page_size=50), reporter=told)
    engine.total = 400
    await engine.work()
    assert 6 <= len(told.all) <= 8
    last = told.all[-1]
    assert last.rate == pytest.approx(100, rel=0.1)
    assert last.limited_by == "concurrency"
    assert last.in_flight == 10
    assert last.eta_s == pytest.approx((400 - last.tally.finished) / last.rate)
    assert last.last_error == "Failed: no"


async def test_engine_is_stopped_by_a_crash_of_the_source() -> None:
    """A fault of the source comes out as it is, after what is in flight was finished and committed."""
    source, sink = Rows(range(1_000)), Batches()

    async def process(row: Row) -> Any:
        begun.append(row.id)
        source.broken = ValueError("no such column")
        await asyncio.sleep(1)
        return done()

    begun: list[int] = []
    engine = engine_over(source, process, sink, limits=Limits(concurrency=5, page_size=10))
    with pytest.raises(ValueError, match="no such column"):
        await engine.work()
    assert sorted(sink.ids()) == begun
    assert 1 <= len(begun) <= 5
    assert len(sink.last.open_keys) == 0
    assert sink.last.cursor == [begun[-1]]
    assert adds_up(engine)


@pytest.mark.parametrize("away", ["source", "sink"])
async def test_engine_says_that_the_database_is_away(away: str) -> None:
    """While a page or a commit waits for the database, progress says so in its words; when it is back, no longer."""
    told, sink, rows = Told(), Batches(), Rows(range(300), failures=4 if away == "source" else 0)
    sink.errors = [Transient("the commit found nobody")] * (4 if away == "sink" else 0)

    async def process(row: Row) -> Any:
        await asyncio.sleep(1)
        return done()

    engine = engine_over(rows, process, sink, limits=Limits(concurrency=10), reporter=told)
    await engine.work()
    words = {"source": "Transient: the source is away", "sink": "Transient: the commit found nobody"}[away]
    waited = [(one.limited_by, one.last_error) for one in told.all if one.limited_by == "database"]
    assert set(waited) == {("database", words)}
    assert told.all[-1].limited_by != "database"
    assert told.all[-1].last_error is None


async def test_engine_waits_for_a_source_that_is_away() -> None:
    """A source that does not answer for a while is asked again."""
    engine = engine_over(Rows(range(10), failures=5))
    await engine.work()
    assert engine.ledger.saved.done == 10


async def test_engine_starts_nothing_after_a_stop_before_it_began() -> None:
    """A stop that came before the work leaves every record for the next attempt."""
    stop, sink = Stop(), Batches()
    stop.ask("SIGTERM")
    engine = engine_over(Rows(range(10)), sink=sink, stop=stop)
    await engine.work()
    assert sink.ids() == []
    assert not engine.complete
    assert now() < PLAN.drain
