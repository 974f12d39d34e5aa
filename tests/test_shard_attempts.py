"""worker/run.py: attempts at the shards of a run, over a real database."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from attempts import ITEMS, Rename, parts_of
from stored import do, rows_of
from test_finish import NOTES, Finishing, notes

from worker.budget import ErrorBudget
from worker.claim import Selection
from worker.database import Link
from worker.errors import Faults
from worker.events import Reporter, Summary
from worker.job import Job, Run
from worker.outcome import Outcome, failed
from worker.run import attempt
from worker.scope import Scope
from worker.shards import Shard
from worker.source import Key, Record, Source
from worker.sources import lists
from worker.store.migrate import migrate
from worker.verdict import Verdict


class Closing(Reporter):
    """Keep what is said of whole runs."""

    def __init__(self) -> None:
        self.closings: list[Summary] = []

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Keep it."""
        self.closings.append(summary)


@pytest.fixture
async def link(database_url: str) -> AsyncIterator[Link]:
    """Give a connection to a database of one server: what differs between them is in the store's tests."""
    async with Link(database_url, "test") as link:
        yield link


@pytest.fixture
async def items(database_url: str, link: Link) -> str:
    """Give a database with the run store, twenty items and no note."""
    await migrate(link)
    await do(link, ITEMS)
    await do(link, NOTES)
    return database_url


async def made(url: str, number: int, job: Job[Scope] | None = None, of: int = 3, **changes: Any) -> Summary:
    """Make an attempt at a shard."""
    async with parts_of(url, job or Finishing(), shard=Shard(number, of), **changes) as parts:
        return await attempt(parts)


async def test_shards_do_each_record_once_and_finish_once(items: str, link: Link) -> None:
    """The last of them finishes, in its last page commit, when all is renamed; it alone closes the run."""
    heard = Closing()
    reads = []
    for number in (2, 1, 3):
        assert await notes(link) == []
        summary = await made(items, number, reporter=heard)
        assert (summary.verdict, summary.start.shard) == (Verdict.SUCCEEDED, f"{number}/3")
        reads.append(summary.tally.read)
    assert sorted(reads) == [6, 7, 7]
    assert await notes(link) == [20]
    [whole] = heard.closings
    assert (whole.verdict, whole.tally.done, whole.start.run_id) == (Verdict.SUCCEEDED, 20, "poll-payments:2026-11-22")
    assert (await made(items, 2)).verdict is Verdict.ALREADY_DONE
    assert await rows_of(link, "SELECT untold FROM worker.runs WHERE shards = 3") == [(None,)]


async def test_shards_without_records_finish_too(items: str, link: Link) -> None:
    """More shards than items: nothing to do is done."""
    await do(link, "DELETE FROM item WHERE id > 2")
    for number in range(1, 6):
        assert (await made(items, number, of=5)).verdict is Verdict.SUCCEEDED
    assert await notes(link) == [2]


async def test_shards_do_not_finish_while_one_has_failures(items: str, link: Link) -> None:
    """Nor when the others end after it; once its failed record is mended, that attempt finishes."""
    heard = Closing()
    ends = [await made(items, number, Finishing("failed"), reporter=heard) for number in (1, 2, 3)]
    assert [end.verdict for end in ends] == [Verdict.SUCCEEDED, Verdict.COMPLETED_WITH_FAILURES, Verdict.SUCCEEDED]
    assert await notes(link) == []
    [whole] = heard.closings
    assert whole.verdict is Verdict.COMPLETED_WITH_FAILURES
    again = [(await made(items, number)).verdict for number in (1, 2, 3)]
    assert set(again) == {Verdict.SUCCEEDED, Verdict.ALREADY_DONE}
    assert await notes(link) == [20]


async def test_shards_failures_are_replayed_with_the_run(items: str, link: Link) -> None:
    """One attempt works on all of them, and finishes; after that every shard is done."""
    for number in (1, 2, 3):
        await made(items, number, Finishing("failed"))
    async with parts_of(items, Finishing(), replay=Selection()) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.tally.read, summary.run_tally.done) == (Verdict.SUCCEEDED, 1, 20)
    assert await notes(link) == [20]
    assert (await made(items, 2)).verdict is Verdict.ALREADY_DONE


async def test_shards_share_the_error_budget_and_max_affected(items: str) -> None:
    """Each ends where its part is spent."""

    class Failing(Rename):
        errors = ErrorBudget(count=6, share=None)

        async def process(self, record: Record, run: Run[Scope]) -> Outcome:
            """Fail."""
            return failed("no")

    summary = await made(items, 1, Failing())
    assert (summary.verdict, summary.detail) == (Verdict.ABORTED, "3 records failed, 2 are allowed")
    changed = await made(items, 2, Rename(), max_affected=8)
    assert (changed.verdict, changed.tally.done) == (Verdict.ABORTED, 3)


async def test_shards_share_an_idempotency_key_but_not_in_replays(items: str) -> None:
    """A record's key does not hang on the shard; a shard's replay and the run's are told apart."""
    seen: list[str] = []

    class Noting(Rename):
        errors = ErrorBudget(share=None)

        async def process(self, record: Record, run: Run[Scope]) -> Outcome:
            """Note the key, and fail."""
            if record["id"] == 1:
                seen.append(run.idempotency_key(record))
            return failed("no")

    for _ in range(2):
        await made(items, 1, Noting())
    for number in (2, 3):
        await made(items, number, Noting())
    async with parts_of(items, Noting(), replay=Selection()) as parts:
        await attempt(parts)
    assert len(set(seen)) == len(seen) == 3


async def test_shards_of_what_cannot_be_divided_are_a_fault(items: str) -> None:
    """Before anything is claimed."""

    class Listed(Rename):
        def source(self, run: Run[Scope]) -> Source:
            """Read a list."""

            async def fetch(after: Key | None, size: int) -> tuple[list[Record], bool]:
                return [], False

            return lists.by_cursor(fetch)

    async with AsyncExitStack() as opened:
        parts = await opened.enter_async_context(parts_of(items, Listed(), shard=Shard(1, 3)))
        with pytest.raises(Faults, match="cannot be worked on in shards: its source, by id, cannot be divided"):
            await attempt(parts)
