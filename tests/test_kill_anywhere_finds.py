"""The kill-anywhere kit on jobs that break when they are killed: it must say what broke, by what, and with which seed."""

from pathlib import Path

import asyncpg
import pytest

from worker.testing.anywhere import kill_anywhere

ROOT = Path(__file__).parent.parent

JOB = '''
"""Count each item once."""
import asyncpg
from worker import Job, Limits, Scope, done, postgres

class Counting(Job[Scope]):
    limits = Limits(concurrency=2, page_size=5)
    environment = {{"DATABASE_URL": None}}

    def source(self, run):
        return postgres.query("SELECT id FROM items WHERE NOT taken", key="id")

    async def process(self, item, run):
        connection = await asyncpg.connect(run.environment["DATABASE_URL"])
        await connection.execute("UPDATE items SET {change} WHERE id = $1", item["id"])
        await connection.close()
        return done()

    async def write(self, results, connection):
        return None
'''


@pytest.fixture
async def items(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give a database of 20 items, and an empty folder to write jobs in."""
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "CREATE TABLE items (id int PRIMARY KEY, count int NOT NULL DEFAULT 0, taken bool NOT NULL DEFAULT false);"
        "INSERT INTO items SELECT generate_series(1, 20)"
    )
    await connection.close()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    return database_url


def _write(change: str) -> None:
    Path("jobs/counting.py").write_text(JOB.format(change=change))


async def _kill(items: str, change: str, commits: int = 1_000) -> None:
    _write(change)
    await kill_anywhere("counting", database=items, environment={"PYTHONPATH": str(ROOT)}, seed=3, commits=commits)


async def test_kit_finds_what_is_done_twice(items: str) -> None:
    """A job that writes beside the page commit counts some items twice: the rows are shown, and the kill."""
    with pytest.raises(AssertionError) as found:
        await _kill(items, "count = count + 1")
    told = str(found.value)
    assert "counting did not survive (seed 3, run " in told
    assert "SIGKILL at COMMIT " in told
    assert "rows of public.items are only here" in told
    assert '"count": 2' in told


async def test_kit_finds_what_is_lost(items: str) -> None:
    """A job that marks items before they are committed forgets the ones it had marked."""
    with pytest.raises(AssertionError, match=r"records have outcomes: .*; undisturbed 20 records"):
        await _kill(items, "taken = true")


async def test_kit_passes_what_may_differ(items: str) -> None:
    """A job that does the same thing again leaves the same: nothing is found."""
    await _kill(items, "count = 1", commits=3)
