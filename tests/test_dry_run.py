"""Dry runs: the same path, nothing changed, and what would have been changed is shown in few words."""

from typing import Any, ClassVar

import pytest
from attempts import ITEMS, Rename, parts_of
from payments import payments
from stored import do
from worker_process import finished

from worker.database import Link
from worker.job import Run
from worker.mask import Mask
from worker.outcome import Outcome, done
from worker.run import attempt
from worker.sample import Sample
from worker.scope import Scope
from worker.source import Record
from worker.store.migrate import migrate
from worker.verdict import Verdict


@pytest.fixture
async def items(database_url: str) -> str:
    """Give a database with the run store, twenty items and a sequence."""
    async with Link(database_url, "test") as link:
        await migrate(link)
        await do(link, f"{ITEMS}; CREATE SEQUENCE steps")
    return database_url


async def test_dry_run_reads_in_sessions_that_cannot_write(items: str) -> None:
    """A query that would change something by a function ends the dry run, at once and with the reason; a real run may do it."""

    class Stepping(Rename):
        query = "SELECT id, name, nextval('steps') AS step FROM item"

    async with parts_of(items, Stepping(), dry_run=True) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.tally.read) == (Verdict.CRASHED, 0)
    assert "cannot execute nextval() in a read-only transaction" in summary.detail
    async with parts_of(items, Stepping()) as parts:
        parts.run.run_key = "real"
        assert (await attempt(parts)).tally.done == 20


async def test_dry_run_of_the_command_line_reads_so(database_url: str) -> None:
    """`--dry-run` is what makes the sessions read-only."""
    async with payments(database_url, 10) as world:
        await world.sql("ALTER TABLE payments RENAME TO kept")
        await world.sql("CREATE SEQUENCE steps")
        await world.sql("CREATE VIEW payments AS SELECT *, nextval('steps') AS step FROM kept")
        code, run = await finished("poll-payments", "--dry-run", **world.environment)
    assert code == 1
    assert "read-only transaction" in run.end["detail"]


async def test_dry_run_shows_what_a_job_without_write_would_have_done(items: str) -> None:
    """Its effects are in `process`, behind `run.dry_run`: what it says it would do is shown all the same."""

    class Calling(Rename):
        write: ClassVar[Any] = None

        async def process(self, record: Record, run: Run[Scope]) -> Outcome:
            return done("would call") if run.dry_run else done()

    async with parts_of(items, Calling(), dry_run=True) as parts:
        summary = await attempt(parts)
    assert summary.samples[0] == "1: 'would call'"
    assert (len(summary.samples), summary.tally.done) == (5, 20)
    async with parts_of(items, Calling()) as parts:
        parts.run.run_key = "again"
        assert (await attempt(parts)).samples == ()


class Nasty:
    """Cannot be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "4711"),
        ("succeeded", "4711: 'succeeded'"),
        (b"\0" * 5_000_000, "4711: 5,000,000 bytes"),
        ({"body": bytearray(1_500), "name": "a.csv"}, "4711: {'body': 1,500 bytes, 'name': 'a.csv'}"),
        (list(range(100)), "4711: [0, 1, 2, 3, 4, 5, ...]"),
        ("x" * 1_000, f"4711: '{'x' * 37}...{'x' * 38}'"),
        (Nasty(), "4711: <Nasty, which cannot be shown: ValueError>"),
        ("to s3cretword", "4711: 'to ***'"),
        ("x" * 35 + "s3cretword" + "x" * 100, f"4711: '{'x' * 35}**...{'x' * 38}'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_dry_run_samples_are_short_and_masked(value: Any, shown: str) -> None:
    """Bytes are counted, texts and collections cut, secrets masked before the cut; what cannot be shown breaks nothing."""
    assert Sample(Mask(["s3cretword"]))("4711", value) == shown


def test_dry_run_samples_are_bounded_whatever_is_in_them() -> None:
    """A structure of everything stays a line."""
    deep: Any = ["y" * 500] * 50
    for _ in range(6):
        deep = {"a": deep, "b": [deep, deep], "c": "z" * 500}
    assert len(Sample(Mask())("k" * 1_000, deep)) == 300
