"""The database that jobs are given beside the page commit, against real PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from worker import Database, Permanent, Run, Scope, Transient
from worker.errors import Faults
from worker.testing.proxy import Proxy


@asynccontextmanager
async def a_database(url: str, *, dry: bool = False, size: int = 2) -> AsyncIterator[Database]:
    """Give the client of a run that has no front door."""
    async with Database(Run("job", "key", Scope(), dry_run=dry, database_url=url), size=size) as database:
        yield database


async def insert_twice(database: Database) -> None:
    """Insert the same row twice in one transaction."""
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO item VALUES (1)")
        await connection.execute("INSERT INTO item VALUES (1)")


async def test_database_writes_and_reads(database_url: str) -> None:
    """Statements say how many rows they wrote; rows come at once or one by one, more than fit a fetch."""
    async with a_database(database_url) as database:
        assert await database.execute("CREATE TABLE item (id int PRIMARY KEY)") == 0
        assert await database.execute("INSERT INTO item SELECT generate_series(1, $1::int)", 1_200) == 1_200
        assert (await database.fetch("SELECT count(*) AS n FROM item"))[0]["n"] == 1_200
        assert [row["id"] async for row in database.rows("SELECT id FROM item ORDER BY id")] == list(range(1, 1_201))


async def test_database_transaction_is_all_or_nothing(database_url: str) -> None:
    """What fails in the middle of a transaction leaves nothing; its error is Permanent, under PostgreSQL's name."""
    async with a_database(database_url) as database:
        await database.execute("CREATE TABLE item (id int PRIMARY KEY)")
        with pytest.raises(Permanent, match="duplicate key") as refused:
            await insert_twice(database)
        assert refused.value.type == "UniqueViolationError"
        assert await database.fetch("SELECT * FROM item") == []


async def test_database_writes_nothing_in_a_dry_run(database_url: str) -> None:
    """A dry run reads, and is told why it cannot write."""
    async with a_database(database_url) as database:
        await database.execute("CREATE TABLE item (id int PRIMARY KEY)")
    async with a_database(database_url, dry=True) as database:
        assert await database.fetch("SELECT * FROM item") == []
        with pytest.raises(Permanent, match="a dry run writes nothing") as refused:
            await database.execute("INSERT INTO item VALUES (1)")
        assert refused.value.type == "dry run"


async def test_database_that_is_away_is_transient(database_url: str) -> None:
    """A cut connection fails one try, and the next one has a new connection."""
    async with Proxy(database_url) as proxy, a_database(proxy.url, size=1) as database:
        assert (await database.fetch("SELECT 1 AS one"))[0]["one"] == 1
        proxy.refusing = True
        proxy.cut()
        with pytest.raises(Transient):
            await database.fetch("SELECT 1")
        proxy.refusing = False
        assert (await database.fetch("SELECT 1 AS one"))[0]["one"] == 1


async def test_database_is_a_fault_where_there_is_none() -> None:
    """A run without a database ends before it begins."""
    with pytest.raises(Faults, match="set DATABASE_URL"):
        Database(Run("job", "key", Scope()))
