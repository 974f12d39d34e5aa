"""A job's `finish`: within the last page commit of a run of whose records none is failed, and not otherwise."""

import re
from typing import Any

import pytest
from attempts import ITEMS, Rename, parts_of
from stored import do, row_of, rows_of

from worker.budget import ErrorBudget
from worker.claim import Selection
from worker.database import Link
from worker.errors import Permanent
from worker.job import Results, Run
from worker.outcome import Outcome, done, failed
from worker.run import attempt
from worker.scope import Scope
from worker.source import Record
from worker.verdict import Verdict

NOTES = "CREATE TABLE note (run_id text, renamed int, attempt int)"


class Finishing(Rename):
    """Rename items, and note at the end how many have the new name; record 7 may be `bad`."""

    errors = ErrorBudget(share=None)

    def __init__(self, bad: str = "", budget: ErrorBudget = errors) -> None:
        self.bad = bad
        self.errors = budget  # type: ignore[misc]  # a job file says it once for the class

    async def process(self, record: Record, run: Run[Scope]) -> Outcome:
        """Fail the bad one, or give it a name that cannot be written."""
        if record["id"] == 7 and self.bad == "failed":
            return failed("bad")
        return done(None if record["id"] == 7 and self.bad == "refused" else "new")

    async def write(self, results: Results, connection: Any) -> None:
        """Write the names; None is refused."""
        for result in results:
            assert result.value
        await super().write(results, connection)

    async def finish(self, run: Run[Scope], connection: Any) -> None:
        """Note what is there."""
        if self.bad == "unfinishable":
            raise Permanent("too many")
        count = "SELECT $1, count(*), $2 FROM item WHERE name = 'new'"
        await connection.execute(f"INSERT INTO note {count}", run.run_id, run.attempt)


@pytest.fixture
async def items(store_url: str, link: Link) -> str:
    """Give a database with the run store, twenty items and no note."""
    await do(link, ITEMS)
    await do(link, NOTES)
    return store_url


async def ended(url: str, *job: Any, **changes: Any) -> Any:
    """Make an attempt; give its verdict."""
    async with parts_of(url, Finishing(*job), **changes) as parts:
        return (await attempt(parts)).verdict


async def notes(link: Link) -> list[int]:
    """Give what finish has seen, each time that it was called."""
    return [row["renamed"] for row in await rows_of(link, "SELECT renamed FROM note")]


async def test_finish_is_called_once_all_is_written(items: str, link: Link) -> None:
    """It sees all results, in their transaction; the run that is done is not finished again."""
    assert await ended(items) is Verdict.SUCCEEDED
    assert await ended(items) is Verdict.ALREADY_DONE
    assert await notes(link) == [20]


async def test_finish_is_called_where_there_was_no_record(items: str, link: Link) -> None:
    """Nothing to work on is all worked on."""
    await do(link, "DELETE FROM item")
    assert await ended(items) is Verdict.SUCCEEDED
    assert await notes(link) == [0]


@pytest.mark.parametrize("bad", ["failed", "refused"])
async def test_finish_waits_until_nothing_is_failed(
    items: str, link: Link, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tolerated or not, a failed record is not worked on: not before the replay that mends it."""
    assert await ended(items, bad) is Verdict.COMPLETED_WITH_FAILURES
    assert await notes(link) == []
    assert "finish() of the job was not called: 1 records of the run are failed" in caplog.text
    assert await ended(items) is Verdict.SUCCEEDED
    assert await notes(link) == [20]


async def test_finish_is_not_called_by_the_replay_of_a_run_that_was_cut_short(items: str, link: Link) -> None:
    """Its dead letters are mended then, but the rest of its records were never read."""
    assert await ended(items, "failed", ErrorBudget(count=0)) is Verdict.ABORTED
    assert await ended(items, replay=Selection()) is Verdict.SUCCEEDED
    assert await notes(link) == []
    assert await ended(items) is Verdict.SUCCEEDED
    assert await notes(link) == [20]


async def test_finish_that_raises_takes_the_last_page_with_it(items: str, link: Link) -> None:
    """The run is crashed, its last page not committed; started again, it is finished."""
    assert await ended(items, "unfinishable") is Verdict.CRASHED
    status, detail = await row_of(link, "SELECT status, detail FROM worker.runs")
    assert status == "crashed"
    assert re.fullmatch(r"finish raised Permanent: too many \(test_finish\.py:\d+\)", detail)
    assert await ended(items) is Verdict.SUCCEEDED
    assert await notes(link) == [20]


async def test_finish_is_not_for_canaries(items: str, link: Link) -> None:
    """Some of the records are not all of them."""
    assert await ended(items, max_records=5) is Verdict.SUCCEEDED
    assert await notes(link) == []
