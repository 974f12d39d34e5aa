"""Rows that are laid out for all slots: taken back in time, and their permits with them."""

import asyncio
from typing import Any

import pytest
from fakes import Row, Rows, Steady, engine_over, now

from worker.budget import ErrorBudget
from worker.errors import LeaseLost, Throttled, Transient
from worker.limits import Limits, Rate
from worker.outcome import done, failed
from worker.source import Key, Page
from worker.stop import Stop

pytestmark = pytest.mark.looptime
WIDE = Limits(concurrency=16, page_size=5_000)


class Began(list[float]):
    """When records were begun; each takes four milliseconds: quick enough for rows to be laid out all the time."""

    async def process(self, row: Row) -> Any:
        """Take the time."""
        self.append(now())
        await asyncio.sleep(0.004)
        return done()


@pytest.mark.parametrize("moment", [0.333, 0.457, 0.581, 0.678])
@pytest.mark.parametrize("how", ["stop", "fail"])
async def test_laid_out_rows_are_not_begun_after_the_end(moment: float, how: str) -> None:
    """From a stop or a crash on, at any moment between two ticks, none of them is begun."""
    stop, began, loop = Stop(), Began(), asyncio.get_running_loop()
    engine = engine_over(Rows(range(5_000)), began.process, limits=WIDE, stop=stop)
    if how == "stop":
        loop.call_later(moment, stop.ask, "SIGTERM")
    else:
        loop.call_later(moment, engine.fail, LeaseLost("taken over"))
    await asyncio.gather(engine.work(), return_exceptions=True)
    assert moment - 0.005 <= max(began) <= moment


async def test_laid_out_rows_are_not_begun_after_the_budget_is_spent() -> None:
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


async def test_laid_out_rows_wait_for_a_pause_that_the_source_asks_for() -> None:
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
async def test_laid_out_rows_grow_old_as_others_do(max_age: float, quick_until: float) -> None:
    """Records that are quick at first and take their time later are each handed out within max_age."""
    ages: list[float] = []

    async def process(row: Row) -> Any:
        ages.append(now() - row["read_at"])
        await asyncio.sleep(0.0005 if now() < quick_until else 0.03)
        return done()

    limits = Limits(concurrency=1, page_size=5_000, max_age=max_age)
    await engine_over(Rows(range(4_000)), process, limits=limits, max_records=3_500).work()
    assert max(ages) <= max_age + 1e-6


async def test_laid_out_rows_leave_the_loop_to_others_when_they_turn_out_dear() -> None:
    """Quick records and then dear ones that never wait: the loop comes round as soon, and none is handed out too old."""
    spent, longest = 0.0, 0.0

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

    async def watch() -> None:
        nonlocal longest
        last = clock()
        while True:
            await asyncio.sleep(0)
            longest, last = max(longest, clock() - last), clock()

    ages: list[float] = []
    engine = engine_over(Timed(range(1_000)), process, limits=Limits(page_size=500, max_age=1), clock=clock)
    watching = asyncio.create_task(watch())
    await engine.work()
    watching.cancel()
    assert longest < 0.02 + 2 * 0.05 + 0.002
    assert max(ages) <= 1
    assert engine.oldest_age_s == pytest.approx(max(ages), abs=0.06)


async def test_laid_out_rows_give_their_permits_back() -> None:
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


async def test_laid_out_rows_let_retries_go_first() -> None:
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
async def test_laid_out_or_not_nothing_is_begun_for_permits_that_fell_due_with_the_stop(how: str) -> None:
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
