"""Page commits by the engine: when, what is in them, and what happens when the sink is slow, away or says no."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fakes import Batches, Row, Rows, adds_up, at_once, engine_over, now

from worker.errors import DatabaseAway, LeaseLost, Transient
from worker.ledger import CHANGED, Batch, Committed
from worker.limits import Limits
from worker.outcome import done, skipped
from worker.retry import Retry
from worker.stop import Stop

pytestmark = pytest.mark.looptime


async def a_tenth(row: Row) -> Any:
    """Finish a record in a tenth of a second."""
    await asyncio.sleep(0.1)
    return done(row.id)


async def test_page_commits_come_with_each_page() -> None:
    """A page of results is committed at once, without waiting for the second to be over."""
    sink = Batches()
    await engine_over(Rows(range(1_000)), a_tenth, sink, limits=Limits(concurrency=50, page_size=100)).work()
    assert len(sink.all) >= 10
    assert max(len(batch.results) for batch in sink.all) <= 100 + 50


async def test_page_commits_come_every_second() -> None:
    """However few records finish, what did is committed within a second or so; nothing new, no commit."""

    async def process(row: Row) -> Any:
        await asyncio.sleep(10 if row.id == 20 else 0.3)
        return skipped("same") if row.id % 2 else done()

    sink = Batches()
    await engine_over(Rows(range(21)), process, sink, limits=Limits(concurrency=1, page_size=500)).work()
    gaps = [later - earlier for earlier, later in zip(sink.at, sink.at[1:], strict=False)]
    assert max(gaps[:-1]) <= 1.01
    assert len(sink.all) == 8
    assert 9 < gaps[-1] < 11


async def test_page_commits_tell_where_to_go_on() -> None:
    """The last commit of a whole run has the last key, no open key and all counts."""
    sink = Batches()
    await engine_over(Rows(range(777)), a_tenth, sink, limits=Limits(concurrency=50, page_size=100)).work()
    assert sink.last.cursor == [776]
    assert sink.last.open_keys == []
    assert sink.last.tally.done == sink.last.tally.read == 777


async def test_page_commits_go_out_before_the_records_behind_them() -> None:
    """Records that wait for a commit are begun when it writes: not before, where they would hold it up, and not only when it is done."""
    began: list[int] = []

    class Slow(Batches):
        async def commit(self, batch: Batch, writing: Callable[[], None]) -> Committed:
            await asyncio.sleep(0.3)
            began.append(engine.ledger.tally.done)
            committed = await super().commit(batch, writing)
            began.append(engine.ledger.tally.done)
            return committed

    engine = engine_over(Rows(range(100)), sink=Slow(delay_s=0.3), limits=Limits(concurrency=4, page_size=10))
    await engine.work()
    assert began[2:6] == [20, 40, 40, 60]  # the first commit has nothing to write


async def test_page_commits_hold_the_slots_when_the_sink_is_slow() -> None:
    """A slow sink stops the slots before more than two pages wait for it, and is then what limits the run."""
    most = 0

    async def process(row: Row) -> Any:
        nonlocal most
        await asyncio.sleep(0.001)
        most = max(most, engine.ledger.uncommitted)
        return done()

    sink = Batches(delay_s=2)
    engine = engine_over(Rows(range(2_000)), process, sink, limits=Limits(concurrency=10, page_size=50))
    await engine.work()
    assert 50 < most <= 2 * 50 + 10
    assert engine.limited_by == "sink"
    assert engine.ledger.saved.done == 2_000


async def test_page_commits_are_repeated_as_they_were() -> None:
    """A sink that is away gets the same batch again, and meanwhile the slots go on."""
    sink = Batches(errors=[Transient("away")] * 4)
    engine = engine_over(Rows(range(500)), a_tenth, sink, limits=Limits(concurrency=20, page_size=100))
    await engine.work()
    assert sorted(sink.ids()) == list(range(500))
    assert sink.calls == len(sink.all) + 4


async def test_page_commits_give_up_after_the_patience() -> None:
    """A sink that stays away ends the run; what it never took is not counted as done."""
    sink = Batches()
    sink.answer = lambda batch: sink.errors.extend([Transient("away")] * 1_000) or Committed(1)  # type: ignore[func-returns-value]
    engine = engine_over(Rows(range(5_000)), a_tenth, sink, limits=Limits(concurrency=20, page_size=100), patience_s=60)
    with pytest.raises(DatabaseAway, match="away"):
        await engine.work()
    assert 60 < now() < 75
    assert len(sink.all) == 1
    assert engine.ledger.saved.finished == len(sink.ids())
    assert not engine.complete
    assert adds_up(engine)


async def test_page_commits_end_with_a_lost_lease() -> None:
    """Once the lease is lost nothing is begun, waited for or counted any more."""
    began: list[float] = []

    async def process(row: Row) -> Any:
        began.append(now())
        await asyncio.sleep(3)
        return done()

    sink = Batches()
    sink.answer = lambda batch: sink.errors.append(LeaseLost("taken over")) or Committed(1)  # type: ignore[func-returns-value]
    engine = engine_over(Rows(range(5_000)), process, sink, limits=Limits(concurrency=20, page_size=20))
    with pytest.raises(LeaseLost):
        await engine.work()
    assert now() < 4.5
    assert max(began) <= 3
    assert sink.calls == 2
    assert engine.ledger.saved.done == len(sink.ids()) == 0
    assert not engine.complete


async def test_page_commits_correct_the_counts() -> None:
    """Results that were changed meanwhile are skipped after all, refused ones failed; the sum stays the same."""

    def answer(batch: Batch) -> Committed:
        refused = [engine.ledger.refusal((0,), ValueError("too long"))] if len(batch.results) >= 3 else []
        return Committed(7, changed=2 * len(refused), refused=refused)

    sink = Batches()
    sink.answer = answer
    engine = engine_over(Rows(range(100)), a_tenth, sink, limits=Limits(concurrency=10, page_size=10))
    await engine.work()
    saved = engine.ledger.saved
    assert saved.failed == sum(len(batch.results) >= 3 for batch in sink.all) > 5
    assert saved.skipped == {CHANGED: 2 * saved.failed}
    assert saved.finished == saved.read == 100
    assert engine.ledger.tally == saved


async def test_page_commits_leave_nothing_open_at_a_crash_of_write() -> None:
    """A `write` that breaks ends the run with its error, and its page is not counted."""
    engine = engine_over(Rows(range(100)), a_tenth, Batches(errors=[ValueError("broken")]))
    with pytest.raises(ValueError, match="broken"):
        await engine.work()
    assert engine.ledger.saved.finished == 0


async def test_page_commits_heed_a_stop_that_comes_during_the_last_one() -> None:
    """All records are worked on and the sink is away: a stop still ends the wait within the stop plan."""
    stop, sink = Stop(), Batches(errors=[Transient("away")] * 1_000)
    engine = engine_over(Rows(range(10)), at_once, sink, stop=stop)
    asyncio.get_running_loop().call_later(20, stop.ask, "SIGTERM")
    with pytest.raises(DatabaseAway, match="did not get through"):
        await engine.work()
    assert 20 < now() < 27
    assert engine.ledger.saved.finished == 0


async def test_page_commits_take_their_first_chance_of_a_resume() -> None:
    """The open keys of the checkpoint are still in the first commit, before they were read again."""
    source, sink = Rows(range(10)), Batches()
    source.again_s = 5
    engine = engine_over(source, at_once, sink, after=[7], open_keys=[[2], [4]], retry=Retry(attempts=1))
    await engine.work()
    assert sink.all[0].open_keys == [[2], [4]]
    assert sorted(sink.ids()) == [2, 4, 8, 9]
