"""The straight way: rows that are laid out for all slots, with one look at everything for many of them; taken back in time, and their permits with them."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fakes import Batches, Row, Rows, Steady, adds_up, engine_over, now, turns

from worker.budget import ErrorBudget
from worker.engine import Engine
from worker.errors import LeaseLost, Throttled, Transient
from worker.limits import Limits, Rate
from worker.outcome import done, failed
from worker.rate import RateLimit
from worker.source import Key, Page
from worker.stop import Stop
from worker.supply import Supply

pytestmark = pytest.mark.looptime
MANY = Limits(concurrency=4, page_size=1_000, rate=Rate(10_000_000))
WIDE = Limits(concurrency=16, page_size=5_000)


async def read(rows: int) -> Supply:
    """Give a supply that has read its only page."""
    supply = Supply(
        Rows(range(rows)), page_size=rows, window=10, max_age=None, wake=lambda: None, gone=lambda: None, clock=now
    )
    reading = asyncio.create_task(supply.pump(lambda call: call()))
    await asyncio.sleep(1)
    reading.cancel()
    return supply


def ids(rows: Any) -> list[int]:
    return [row["id"] for row in rows]


async def test_straight_rows_that_are_taken_back_are_handed_out_next() -> None:
    """None is lost or handed out twice, and the cursor is the last one that was taken."""
    supply = await read(10)
    assert ids([supply.take(now())]) == [0]
    assert supply.look(now()) == 9
    supply.lay_out(6)
    way = supply.straight
    assert ids([next(way), next(way)]) == [1, 2]
    assert (supply.cursor(), supply.ahead) == ((2,), 7)
    assert supply.take_back(now()) == 4
    assert supply.take_back(now()) == 0
    assert ids(way) == [], "whoever is on the way finds its end"
    assert (supply.cursor(), supply.ahead) == ((2,), 7)
    assert ids([supply.take(now())]) == [3]
    assert supply.take_back(now()) == 0
    supply.lay_out(supply.look(now()))
    assert ids(supply.straight) == [4, 5, 6, 7, 8, 9]
    assert supply.take_back(now()) == 0
    assert (supply.cursor(), supply.ahead) == ((9,), 0)


async def test_straight_rows_are_as_old_as_they_were_at_the_next_look() -> None:
    """The age that is told is never less than that of a row that was handed out."""
    supply = await read(10)
    supply.take(now())
    supply.look(now())
    supply.lay_out(5)
    next(supply.straight)
    await asyncio.sleep(3)
    supply.take_back(now())
    assert supply.oldest_age_s == 4


async def quick(engine: Engine) -> None:
    await engine.work()
    assert adds_up(engine)


@pytest.mark.parametrize("rate", [100_000, 10_000_000])
async def test_straight_ends_at_a_stop(rate: int) -> None:
    """No record is begun once the stop was asked for, not even in the same turn of the loop, or by who waited for a permit."""
    stop, begun = Stop(), list[int]()

    async def process(row: Row) -> Any:
        begun.append(row.id)
        if row.id == 400:
            stop.ask("SIGTERM")
        return done()

    await quick(engine_over(Rows(range(1_000)), process, limits=replace(MANY, rate=Rate(rate)), stop=stop))
    assert begun == list(range(401))


async def test_straight_ends_with_the_error_budget() -> None:
    """Not a record more is begun than the budget allows to fail."""
    begun: list[int] = []

    async def process(row: Row) -> Any:
        begun.append(row.id)
        return failed("no") if row.id >= 400 else done()

    budget = ErrorBudget(count=10, share=None)
    await quick(engine_over(Rows(range(1_000)), process, limits=MANY, errors=budget))
    assert begun == list(range(411))


async def test_straight_uses_a_permit_a_record_and_gives_the_others_back() -> None:
    """Neither does the limit forget any, nor does it count what was lent and not used."""

    async def process(row: Row) -> Any:
        if row.id % 100 == 0:
            await asyncio.sleep(0.25)  # over some ticks, at each of which all is taken back
        return done()

    engine = engine_over(Rows(range(1_000)), process, Batches(keeps=False), limits=MANY)
    await quick(engine)
    gate = engine._gate
    assert gate.idle is False
    assert gate.taken == 1_000


async def test_straight_ends_at_a_pause_that_somebody_else_asks_for() -> None:
    """Permits that were lent are none any more, whoever called."""
    begun: list[float] = []
    engine: Engine

    async def process(row: Row) -> Any:
        begun.append(now())
        if row.id == 400:
            engine._gate.pause(7)
        return done()

    engine = engine_over(Rows(range(1_000)), process, Batches(keeps=False), limits=MANY)
    await quick(engine)
    assert len([at for at in begun[401:] if at < begun[400] + 7]) < MANY.concurrency, "who had been given his before"
    assert len(begun) == 1_000


async def aged(source: Rows, seconds: Any, max_age: float) -> list[float]:
    """Give the ages at which records were handed to `process`, which takes so many seconds for each."""
    ages: list[float] = []

    async def process(row: Row) -> Any:
        ages.append(now() - row["read_at"])
        await asyncio.sleep(seconds(row.id))
        return done()

    sink = Batches(delay_s=3)  # so that no commit ends the straight way meanwhile
    engine = engine_over(source, process, sink, limits=Limits(concurrency=4, page_size=5_000, max_age=max_age))
    await quick(engine)
    assert max(ages) <= engine.oldest_age_s <= max_age + 1e-6
    return ages


async def test_straight_ends_before_its_rows_are_too_old() -> None:
    """Where quick records are followed by slow ones, what is laid out does not wait for its turn longer than max_age."""
    ages = await aged(Rows(range(400)), lambda number: 0.3 if number >= 300 else 0, 1)
    assert max(ages) <= 1 + 1e-6
    assert len(ages) == 400


async def test_straight_is_not_gone_with_rows_that_are_nearly_too_old() -> None:
    """Where all are equally quick, the last before their age is over are handed out one by one."""
    ages = await aged(Rows(range(6_000)), lambda _: 0.001, 1.03)
    assert 0.9 < max(ages) <= 1.03 + 1e-6
    assert len(ages) == 6_000


@pytest.mark.parametrize("look", ["pause", "hold", "part", "wait_s"])
async def test_straight_permits_come_back_before_the_limit_looks_at_its_books(look: str) -> None:
    """What was lent and not used is not booked, and what a pause or another portion takes away is not used after it."""
    clock = 0.0
    limit = RateLimit(Rate(100_000, name="api", shared=True), lambda: clock)
    limit.hold(100_000, ())
    clock = 10.0
    assert limit.try_acquire()
    clock = 10.04
    assert limit.try_acquire()
    lent = limit.lend(20)
    assert lent == 20
    limit.take_back = lambda: lent
    if look == "pause":
        limit.pause(5)
    elif look == "hold":
        limit.hold(10, ())
    elif look == "part":
        limit.part(10)
    else:
        assert limit.wait_s >= 0
    assert limit.taken == 2
    assert bool(limit.lend(20)) == (look == "wait_s"), "what was due is none any more, but where somebody only asked"


class Began(list[float]):
    """When records were begun; each takes four milliseconds: quick enough for rows to be laid out all the time."""

    async def process(self, row: Row) -> Any:
        """Take the time."""
        self.append(now())
        await asyncio.sleep(0.004)
        return done()


@pytest.mark.parametrize("moment", [0.333, 0.457, 0.581, 0.678])
@pytest.mark.parametrize("how", ["stop", "fail"])
async def test_straight_ends_with_the_work(moment: float, how: str) -> None:
    """From a stop or a crash on, at any moment between two ticks, none of them is begun."""
    stop, began, loop = Stop(), Began(), asyncio.get_running_loop()
    engine = engine_over(Rows(range(5_000)), began.process, limits=WIDE, stop=stop)
    if how == "stop":
        loop.call_later(moment, stop.ask, "SIGTERM")
    else:
        loop.call_later(moment, engine.fail, LeaseLost("taken over"))
    await asyncio.gather(engine.work(), return_exceptions=True)
    assert moment - 0.005 <= max(began) <= moment


async def test_straight_ends_with_the_budget_though_nothing_was_raised() -> None:
    """A failure that `process` returns ends the run at once, too."""
    began = Began()

    async def process(row: Row) -> Any:
        outcome = await began.process(row)
        if row.id != 1_234:
            return outcome
        ended.append(now())
        return failed("no")

    ended: list[float] = []
    errors = ErrorBudget(count=0, share=None)
    await engine_over(Rows(range(5_000)), process, limits=WIDE, errors=errors).work()
    assert max(began) <= ended[0]


async def test_straight_ends_at_a_pause_that_the_source_asks_for() -> None:
    """A pause holds them too, though no record has asked for it."""

    class Slowing(Rows):
        async def page(self, after: Key | None, size: int) -> Page:
            if after is not None and len(paused) < 20:
                await asyncio.sleep(0.0457)
                paused.append(now())
                raise Throttled("slow down", 5)
            return await super().page(after, size)

    async def process(row: Row) -> Any:
        began.append(now())
        await asyncio.sleep(0.001 * (row.id % 7))
        return done()

    paused, began = list[float](), list[float]()
    await engine_over(Slowing(range(60_000)), process, limits=Limits(concurrency=16, page_size=50_000)).work()
    assert not [at for at in began for since in paused if since < at < since + 5]


@pytest.mark.parametrize(("max_age", "quick_until"), [(0.35, 0.302), (0.35, 9.0), (0.8, 0.01), (2.0, 1.702)])
async def test_straight_rows_grow_old_as_others_do(max_age: float, quick_until: float) -> None:
    """Records that are quick at first and take their time later are each handed out within max_age."""
    ages: list[float] = []

    async def process(row: Row) -> Any:
        ages.append(now() - row["read_at"])
        await asyncio.sleep(0.0005 if now() < quick_until else 0.03)
        return done()

    limits = Limits(concurrency=1, page_size=5_000, max_age=max_age)
    await engine_over(Rows(range(4_000)), process, limits=limits, max_records=3_500).work()
    assert max(ages) <= max_age + 1e-6


async def test_straight_leaves_the_loop_to_others_when_rows_turn_out_dear() -> None:
    """Quick records and then dear ones that never wait: the loop comes round as soon, and none is handed out too old."""
    spent = 0.0

    def clock() -> float:
        return now() + spent

    class Timed(Rows):
        async def page(self, after: Key | None, size: int) -> Page:
            read_at, page = clock(), await super().page(after, size)
            for row in page.records:
                row["read_at"] = read_at
            return page

    async def process(row: Row) -> Any:
        nonlocal spent
        ages.append(clock() - row["read_at"])
        spent += 0.05 if row.id % 500 > 260 else 0.00001
        return done()

    ages: list[float] = []
    engine = engine_over(Timed(range(1_000)), process, limits=Limits(page_size=500, max_age=1), clock=clock)
    async with turns(clock) as took:
        await engine.work()
    assert max(took) < 0.02 + 2 * 0.05 + 0.002
    assert max(ages) <= 1
    assert engine.oldest_age_s == pytest.approx(max(ages), abs=0.06)


async def test_straight_rows_give_their_permits_back() -> None:
    """Each try takes one permit: what is laid out and taken back again and again costs none, and gives none."""
    tries = 0

    async def process(row: Row) -> Any:
        nonlocal tries
        tries += 1
        if row["version"] == 0 and row.id % 3 == 0:
            row["version"] = 1
            raise Transient("again")
        return done()

    limits = Limits(concurrency=1, rate=Rate(20_000, name="api"), page_size=500)
    engine = engine_over(Rows(range(10_000)), process, limits=limits, retry=Steady(attempts=2, first=0.01))
    await engine.work()
    assert engine.spent.calls["api"] == pytest.approx(tries, abs=20_000 * 0.003 + 1)


async def test_straight_lets_retries_go_first() -> None:
    """Records that come due together for another try are all begun before the next row."""
    began: list[int] = []

    async def process(row: Row) -> Any:
        began.append(row.id)
        if row.id < 100 and began.count(row.id) == 1:
            raise Transient("again")
        await asyncio.sleep(0.001)
        return done()

    limits = Limits(concurrency=1, page_size=5_000)
    await engine_over(Rows(range(3_000)), process, limits=limits, retry=Steady(attempts=2, first=1)).work()
    first = began.index(0, 1)
    assert sorted(began[first : first + 100]) == list(range(100))


@pytest.mark.parametrize("how", ["stop", "fail"])
async def test_straight_or_not_nothing_is_begun_for_permits_that_fell_due_with_the_stop(how: str) -> None:
    """Of the slots that are woken together for their permits, those behind the one that ends the run begin nothing."""
    late, after = 0.0, 0

    def clock() -> float:
        return now() + late

    async def process(row: Row) -> Any:
        nonlocal late, after
        after += bool(ended)
        if row.id % 20 == 0:
            late += 0.03
        if row.id == 321:
            ended.append(row.id)
            stop.ask("SIGTERM") if how == "stop" else engine.fail(ValueError("broken"))
        await asyncio.sleep(0.02)
        return done()

    ended, stop = list[int](), Stop()
    limits = Limits(concurrency=64, rate=Rate(500), page_size=500)
    engine = engine_over(Rows(range(2_000)), process, limits=limits, stop=stop, clock=clock)
    await asyncio.gather(engine.work(), return_exceptions=True)
    assert after == 0


@pytest.mark.parametrize("moment", [0.333, 0.457, 0.581, 0.678])
async def test_straight_ends_with_the_portion_of_a_shared_limit(moment: float) -> None:
    """From the moment on at which others may be given the portion, none of the rows that are laid out is begun."""
    began = Began()
    limits = replace(WIDE, rate=Rate(20_000, name="api", shared=True))
    engine = engine_over(Rows(range(5_000)), began.process, limits=limits)
    until = now() + moment
    engine._gate.hold(20_000, (), until)
    working = asyncio.create_task(engine.work())
    await asyncio.sleep(1)
    assert until - 0.005 <= max(began) < until
    engine._gate.hold(20_000, ())
    await working
    assert len(began) == 5_000
