"""Stopping the engine: the drain, the last commit, and what is left for the next attempt."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fakes import PLAN, Batches, Row, Rows, adds_up, engine_over, now

from worker.engine import Engine
from worker.errors import DatabaseAway, Throttled, Transient
from worker.limits import Limits, Rate
from worker.outcome import done
from worker.retry import Retry
from worker.stop import Stop

pytestmark = pytest.mark.looptime
SMALL = Limits(concurrency=4, page_size=20, record_timeout=100)


def asked_at(moment: float, *more: float) -> Stop:
    """Give a stop that will be asked for at these times."""
    stop = Stop()
    for at in (moment, *more):
        asyncio.get_running_loop().call_later(at, stop.ask, "SIGTERM")
    return stop


def lasting(seconds: Callable[[int], float], began: list[float]) -> Callable[[Row], Any]:
    """Make a process that takes its time."""

    async def process(row: Row) -> Any:
        began.append(now())
        await asyncio.sleep(seconds(row.id))
        return done()

    return process


def unfinished(engine: Engine, sink: Batches) -> bool:
    """Tell whether the last commit and the counts agree on what is left."""
    tally = engine.ledger.saved
    open_keys = {key[0] for key in sink.last.open_keys}
    cursor = sink.last.cursor[0] if sink.last.cursor else -1
    worked = {*sink.ids(), *sink.dead()}
    return adds_up(engine) and open_keys == set(range(cursor + 1)) - worked and tally.finished == len(worked)


async def test_drain_drains_and_begins_nothing() -> None:
    """What is in flight is finished and committed; no record is begun after the stop."""
    began: list[float] = []
    sink = Batches()
    process = lasting(lambda _: 1.0, began)
    engine = engine_over(Rows(range(1_000)), process, sink, limits=SMALL, stop=asked_at(2.5))
    await engine.work()
    assert max(began) <= 2.5
    assert now() == pytest.approx(3, abs=0.1)
    assert sorted(sink.ids()) == list(range(12))
    assert sink.last.open_keys == []
    assert unfinished(engine, sink)
    assert not engine.complete


async def test_drain_gives_up_on_what_does_not_drain() -> None:
    """After the plan's time for it, what is still in flight is left as an open key."""
    sink = Batches()
    process = lasting(lambda number: 90 if number == 1 else 0.3, [])
    engine = engine_over(Rows(range(1_000)), process, sink, limits=SMALL, stop=asked_at(5))
    await engine.work()
    assert now() == pytest.approx(5 + PLAN.drain, abs=0.1)
    assert sink.last.open_keys == [[1]]
    assert engine.in_flight == 1
    assert unfinished(engine, sink)


async def test_drain_twice_does_not_wait() -> None:
    """A second signal ends the drain, and what is finished is still committed."""
    sink = Batches()
    process = lasting(lambda number: 90 if number == 1 else 0.3, [])
    engine = engine_over(Rows(range(1_000)), process, sink, limits=SMALL, stop=asked_at(5, 6))
    await engine.work()
    assert now() == pytest.approx(6, abs=0.1)
    assert sink.last.open_keys == [[1]]
    assert unfinished(engine, sink)


async def test_drain_does_not_wait_for_a_permit() -> None:
    """Slots that wait for a permit, or for the end of a pause, hold no record and end at once."""
    sink = Batches()
    limits = Limits(concurrency=4, page_size=20, rate=Rate(1, per=60))
    engine = engine_over(Rows(range(50)), sink=sink, limits=limits, stop=asked_at(30))
    await engine.work()
    assert now() == pytest.approx(30, abs=0.1)
    assert sink.ids() == [0]
    assert unfinished(engine, sink)


async def test_drain_does_not_wait_for_a_pause_or_a_retry() -> None:
    """Records that wait for another try are open keys of the last commit."""
    sink = Batches()

    async def process(row: Row) -> Any:
        await asyncio.sleep(0.1)
        if row.id == 3:
            raise Transient("later")
        if row.id == 6:
            raise Throttled("slow down", 300)
        return done()

    retry = Retry(attempts=9, first=1e6, longest=1e6)
    engine = engine_over(Rows(range(50)), process, sink, limits=SMALL, retry=retry, stop=asked_at(30))
    await engine.work()
    assert now() == pytest.approx(30, abs=0.1)
    assert sorted(sink.last.open_keys) == [[3], [6]]
    assert unfinished(engine, sink)


async def test_drain_does_not_wait_for_the_source() -> None:
    """A query that is under way is given up."""
    sink = Batches()
    engine = engine_over(Rows(range(50), delay_s=1e6), sink=sink, stop=asked_at(3))
    await engine.work()
    assert now() == pytest.approx(3, abs=0.1)
    assert sink.last.cursor is None
    assert unfinished(engine, sink)


async def test_drain_commits_what_waited_for_a_slow_sink() -> None:
    """Slots that wait for the sink hold no record; the commit under way and the last one both get through."""
    sink = Batches(delay_s=2)
    process = lasting(lambda _: 0.001, [])
    engine = engine_over(Rows(range(5_000)), process, sink, limits=SMALL, stop=asked_at(9))
    await engine.work()
    assert now() <= 9 + 2 * 2 + 0.2
    assert unfinished(engine, sink)
    assert engine.ledger.uncommitted == 0


async def test_drain_gives_up_on_a_sink_that_is_away() -> None:
    """The last commit has the plan's time; what it did not take is unfinished."""
    sink = Batches()
    process = lasting(lambda _: 0.5, [])
    stop = asked_at(3)
    asyncio.get_running_loop().call_later(2.8, sink.errors.extend, [Transient("away")] * 1_000)
    engine = engine_over(Rows(range(5_000)), process, sink, limits=SMALL, stop=stop)
    with pytest.raises(DatabaseAway, match="did not get through"):
        await engine.work()
    assert now() <= 3 + PLAN.drain + PLAN.commit + 0.2
    assert engine.ledger.saved.finished == len(sink.ids())
    assert engine.ledger.saved.finished < engine.ledger.tally.finished


async def test_drain_is_not_held_up_by_a_process_that_will_not_end() -> None:
    """A `process` that catches its cancellation keeps nobody from the summary."""

    async def process(row: Row) -> Any:
        while True:
            try:
                await released.wait()
                return done()
            except asyncio.CancelledError:
                continue

    released, sink = asyncio.Event(), Batches()
    engine = engine_over(Rows(range(50)), process, sink, limits=SMALL, stop=asked_at(3))
    await engine.work()
    released.set()
    assert now() <= 3 + PLAN.drain + PLAN.commit
    assert sink.last.cursor is None
    assert unfinished(engine, sink)


async def test_drain_as_the_last_record_finishes_is_a_whole_run() -> None:
    """A stop that comes when nothing is left changes nothing."""
    stop, sink = Stop(), Batches()

    async def process(row: Row) -> Any:
        await asyncio.sleep(1)
        if row.id == 9:
            stop.ask("SIGTERM")
        return done()

    engine = engine_over(Rows(range(10)), process, sink, limits=Limits(concurrency=1), stop=stop)
    await engine.work()
    assert engine.complete
    assert sink.last.tally.done == 10


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 0.31, 0.5, 0.77, 1.0, 1.2])
async def test_drain_adds_up_at_any_moment(moment: float) -> None:
    """Whenever it comes: read = done + skipped + failed + unfinished, and the checkpoint says what is left."""
    began: list[float] = []
    sink = Batches(delay_s=0.07)

    async def process(row: Row) -> Any:
        began.append(now())
        await asyncio.sleep(0.02 * (row.id % 9))
        if row.id % 4 == 1:
            raise Transient("again")
        return done()

    source = Rows(range(400), delay_s=0.03)
    engine = engine_over(source, process, sink, limits=SMALL, retry=Retry(2, 0.2, 0.2), stop=asked_at(moment))
    await engine.work()
    assert unfinished(engine, sink)
    assert max(began, default=0) <= moment
    assert engine.ledger.saved.unfinished >= 0
