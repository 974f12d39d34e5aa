"""move-crates from outside: a real process on a real database."""

from pathlib import Path

import asyncpg
import pytest
from worker_process import finished

from worker.cli.database import migrated
from worker.local.seed import seed

SEED = Path(__file__).parent.parent / "jobs" / "local" / "move_crates.sql"
LEFT = "SELECT region, count(*) FROM crates WHERE status = 'waiting' AND name <> '' GROUP BY region ORDER BY region"


@pytest.fixture
async def environment(database_url: str) -> dict[str, str]:
    """Point a worker at a database with 100 rows that wait, two of them without a name."""
    await migrated(database_url)
    await seed(database_url, SEED.read_text(), 100)
    return {"DATABASE_URL": database_url, "WORKER_RATE": "0"}


async def left(url: str) -> dict[str, int]:
    """Count by region what has a name and still waits."""
    connection = await asyncpg.connect(url)
    try:
        return {row["region"]: row["count"] for row in await connection.fetch(LEFT)}
    finally:
        await connection.close()


async def test_move_crates_works_on_all_that_wait(environment: dict[str, str]) -> None:
    """What has a name is done, the rest is skipped with the reason; a second run finds nothing to do."""
    code, run = await finished("move-crates", **environment)
    assert code == 0, run.lines
    assert run.end["tally"]["done"] == 98
    assert run.end["tally"]["skipped"] == {"no name": 2}
    assert await left(environment["DATABASE_URL"]) == {}
    _, again = await finished("move-crates", **environment)
    assert again.end["tally"]["done"] == 0


async def test_move_crates_narrowed_by_scope_leaves_the_rest_alone(environment: dict[str, str]) -> None:
    """With a region in the scope the others stay as they are."""
    before = await left(environment["DATABASE_URL"])
    code, run = await finished("move-crates", "--scope", "region=north", **environment)
    assert code == 0, run.lines
    assert await left(environment["DATABASE_URL"]) == {"south": before["south"]}


async def test_move_crates_in_a_dry_run_changes_nothing(environment: dict[str, str]) -> None:
    """All are worked on, and none is changed."""
    before = await left(environment["DATABASE_URL"])
    code, run = await finished("move-crates", "--dry-run", **environment)
    assert code == 0, run.lines
    assert run.end["tally"]["done"] == 98
    assert await left(environment["DATABASE_URL"]) == before
