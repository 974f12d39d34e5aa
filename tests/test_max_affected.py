"""max_affected: a run never writes more than it may, over all its attempts; what is too much is left as it was."""

import asyncio
from typing import Any

import pytest
from attempts import ITEMS, Rename, parts_of
from fakes import Batches, Row, Rows, adds_up, engine_over
from payments import payments
from stored import do, row_of
from worker_process import finished

from worker.database import Link
from worker.ending import next_command
from worker.job import Job
from worker.ledger import Committed
from worker.limits import Limits
from worker.outcome import done, skipped
from worker.registry import broken
from worker.run import attempt
from worker.store.migrate import migrate
from worker.tally import Tally
from worker.verdict import Verdict


async def every_other(row: Row) -> Any:
    """Change the even ones, each in its time."""
    await asyncio.sleep(0.01 * (row.id % 7))
    return skipped("odd") if row.id % 2 else done(row.id)


@pytest.mark.looptime
@pytest.mark.parametrize(("before", "more"), [(0, 100), (60, 40), (100, 0), (130, 0)])
@pytest.mark.parametrize("concurrency", [1, 50])
async def test_max_affected_bounds_what_is_written(before: int, more: int, concurrency: int) -> None:
    """To the record, whatever the concurrency and whatever earlier attempts have written; the rest is unfinished and open."""
    sink = Batches(delay_s=0.05)
    limits = Limits(concurrency=concurrency, page_size=20)
    spent = Tally(read=before, done=before)
    engine = engine_over(Rows(range(1_000)), every_other, sink, limits=limits, before=spent, max_affected=100)
    await engine.work()
    assert len(sink.ids()) == engine.ledger.saved.done == more
    assert (
        engine.ledger.overdrawn == "it would change more than max_affected, 100 records; --max-affected N allows more"
    )
    assert not engine.complete
    assert adds_up(engine)
    finished = {*sink.ids(), *range(1, 1_000, 2)}
    reached = sink.last.cursor[0] if sink.last.cursor else -1
    assert {number for number in range(reached + 1) if number not in finished} <= {key for [key] in sink.last.open_keys}


@pytest.mark.looptime
async def test_max_affected_that_is_just_reached_is_none_too_many() -> None:
    """As many changes as are allowed, and then only records to skip: the run is complete."""

    async def process(row: Row) -> Any:
        return done() if row.id < 100 else skipped("fine")

    engine = engine_over(Rows(range(300)), process, Batches(), max_affected=100)
    await engine.work()
    assert engine.complete
    assert engine.ledger.overdrawn is None


@pytest.mark.looptime
async def test_max_affected_counts_what_was_really_written() -> None:
    """Results that a commit left out make room again: what counts in the end is what `write` says."""
    sink = Batches()
    sink.answer = lambda batch: Committed(1, changed=len(batch.results) // 2)
    limits = Limits(concurrency=1, page_size=10)

    async def process(row: Row) -> Any:
        await asyncio.sleep(0.1)
        return done()

    engine = engine_over(Rows(range(50)), process, sink, limits=limits, max_affected=40)
    await engine.work()
    assert engine.complete
    assert 20 < engine.ledger.saved.done < 40


class Few(Rename):
    """Rename ten items at most."""

    max_affected = 10


@pytest.fixture
async def items(database_url: str) -> str:
    """Give a database with the run store and twenty items."""
    async with Link(database_url, "test") as link:
        await migrate(link)
        await do(link, ITEMS)
    return database_url


async def test_max_affected_ends_attempts_until_somebody_allows_more(items: str) -> None:
    """Aborted with exit 1 and the reason, again and again with nothing more written; with more allowed the run goes on."""
    async with Link(items, "test") as link:
        for _ in range(2):
            async with parts_of(items, Few()) as parts:
                summary = await attempt(parts)
            assert (summary.verdict, summary.exit_code) == (Verdict.ABORTED, 1)
            assert summary.detail.startswith("it would change more than max_affected, 10 records")
            assert summary.run_tally.done == 10
            assert (summary.next_command or "").endswith("--run-key 2026-11-22 --max-affected N")
            assert await row_of(link, "SELECT count(*) FROM item WHERE name = 'new'") == (10,)
        async with parts_of(items, Few(), max_affected=20) as parts:
            last = await attempt(parts)
        assert (last.verdict, last.tally.done, last.run_tally.done) == (Verdict.SUCCEEDED, 10, 20)
        assert await row_of(link, "SELECT count(*) FROM item WHERE name = 'new'") == (20,)


async def test_max_affected_of_a_dry_run_says_what_would_be_too_much(items: str) -> None:
    """In the same words and with the same exit code, before anything is changed."""
    async with parts_of(items, Few(), dry_run=True) as parts:
        summary = await attempt(parts)
    assert (summary.exit_code, summary.tally.done) == (1, 10)
    assert summary.detail.startswith("it would change more than max_affected")
    async with Link(items, "test") as link:
        assert await row_of(link, "SELECT count(*) FROM item WHERE name = 'new'") == (0,)


async def test_max_affected_is_set_by_hand_on_the_command_line(database_url: str) -> None:
    """For one attempt, also of a job that has none of its own."""
    async with payments(database_url, 60) as world:
        before = await world.statuses()
        code, run = await finished("poll-payments", "--max-affected", "3", **world.environment)
        after = await world.statuses()
    assert (code, run.end["verdict"]) == (1, "aborted")
    assert run.end["detail"].startswith("it would change more than max_affected, 3 records")
    assert sum(after[key] != before[key] for key in before) == 3


async def test_max_affected_that_was_said_is_in_the_next_command(items: str) -> None:
    """What went wrong otherwise goes on under the same bound: pasted, no command changes more than the one before it."""
    async with parts_of(items, Few(), max_affected=3) as parts:
        assert next_command(parts, Verdict.INTERRUPTED, None) == (
            "python -m worker poll-payments --run-key 2026-11-22 --max-affected 3"
        )
        assert next_command(parts, Verdict.COMPLETED_WITH_FAILURES, None) == (
            "python -m worker replay poll-payments:2026-11-22 --max-affected 3"
        )


def test_max_affected_needs_something_that_it_can_bound() -> None:
    """A job without `write` changes things before they can be counted: its file is refused, and so is a number that is none."""

    class Silent(Job[Any]):
        max_affected = 5

    class Odd(Rename):
        max_affected = "5"  # type: ignore[assignment]

    assert any("there is no write" in fault for fault in broken(Silent))
    assert "max_affected must be None or a whole number of 0 or more, not '5'" in broken(Odd)
