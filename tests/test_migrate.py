"""worker/store/migrate.py: the schema is made once, by whoever may, and a start says what is missing."""

import asyncio

import asyncpg
import pytest
from stored import as_modest, do, row_of, rows_of

from worker.cli.database import migrated
from worker.database import Link
from worker.errors import Faults, Permanent
from worker.portions import Ask
from worker.store.migrate import migrate, migrations, version
from worker.store.portions import PostgresPortions
from worker.store.postgres import PostgresStore


async def test_migrate_makes_the_schema_once(link: Link) -> None:
    """From nothing all migrations are applied, in order; the second time none."""
    assert await version(link) == 0
    assert await migrate(link) == [migration.name for migration in migrations()]
    assert await version(link) == migrations()[-1].version
    assert await migrate(link) == []


def test_migrate_numbers_are_those_of_the_files() -> None:
    """They begin at one, and each is there once: forward only. Branches that come at the same time agree on theirs before."""
    numbers = [migration.version for migration in migrations()]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))


async def test_migrate_two_at_once(each_url: str) -> None:
    """One applies, the other waits for it and finds nothing to do."""
    applied = await asyncio.gather(*(migrated(each_url) for _ in range(3)))
    assert sorted(map(len, applied)) == [0, 0, len(migrations())]


async def test_migrate_applies_all_or_nothing(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that breaks leaves no half of it, nor those before it."""
    broken = [*migrations(), migrations()[0].__class__(999, "0999_broken", "SELECT nonsense")]
    monkeypatch.setattr("worker.store.migrate.migrations", lambda: broken)
    with pytest.raises(asyncpg.UndefinedColumnError):
        await migrate(link)
    assert await version(link) == 0
    assert await rows_of(link, "SELECT to_regnamespace('worker') AS schema") == [(None,)]


async def test_migrate_without_rights_is_a_fault(link: Link, each_url: str) -> None:
    """A user who may not make a schema hears so."""
    async with link.using() as connection:
        url = await as_modest(connection, each_url)
    with pytest.raises(Faults, match="refuses the run store's schema: permission denied for database"):
        await migrated(url)


async def test_migrate_needs_no_rights_when_there_is_nothing_to_do(store_url: str, link: Link) -> None:
    """Who may read the list of migrations may find that all are there."""
    async with link.using() as connection:
        url = await as_modest(connection, store_url)
        role = url.partition("//")[2].partition("@")[0]
        await connection.execute(f"GRANT USAGE ON SCHEMA worker TO {role}; GRANT SELECT ON worker.migrations TO {role}")
    assert await migrated(url) == []


async def test_migrate_into_a_schema_that_somebody_made(link: Link, each_url: str) -> None:
    """A user who owns the schema needs no right to make schemas."""
    async with link.using() as connection:
        url = await as_modest(connection, each_url)
        await connection.execute(f"CREATE SCHEMA worker AUTHORIZATION {url.partition('//')[2].partition('@')[0]}")
    assert await migrated(url)
    async with Link(url, "test") as modest:
        assert await PostgresStore(modest).check() == []


async def test_store_check_says_to_migrate(link: Link) -> None:
    """Without the schema, and with an old one, the fault is the command to run; the current one is no fault."""
    store = PostgresStore(link)
    [fault] = await store.check()
    assert "the run store's schema is not there in database 127.0.0.1:" in fault
    assert fault.endswith("run python -m worker migrate")
    await migrate(link)
    assert await store.check() == []
    await do(link, "UPDATE worker.migrations SET version = version - 1")
    [fault] = await store.check()
    assert f"needs {migrations()[-1].version}" in fault or "is not there" in fault


async def test_store_newer_than_the_worker_is_worked_with(store_url: str, link: Link) -> None:
    """A version from the future is no fault, and is said."""
    store = PostgresStore(link)
    assert await store.newer() is None
    await do(link, "INSERT INTO worker.migrations (version, name) VALUES (999, 'from the future')")
    assert await store.check() == []
    assert "is at version 999, this worker knows" in (await store.newer() or "")


async def test_store_check_names_every_missing_right(store_url: str, link: Link) -> None:
    """No right on the schema, then some on the tables: the fault says what to grant, all of it at once."""
    async with link.using() as connection:
        url = await as_modest(connection, store_url)
        role = url.partition("//")[2].partition("@")[0]
    async with Link(url, "modest") as modest:
        store = PostgresStore(modest)
        [fault] = await store.check()
        assert "refuses the run store: permission denied for schema worker" in fault
        await do(link, f"GRANT USAGE ON SCHEMA worker TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA worker TO {role}")
        [fault] = await store.check()
        assert "GRANT INSERT ON worker.runs, UPDATE ON worker.runs, " in fault
        assert "DELETE ON worker.dead_letters, USAGE ON SEQUENCE worker.tokens" in fault
        await do(link, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA worker TO {role}")
        await do(link, f"GRANT USAGE ON SEQUENCE worker.tokens TO {role}")
        assert await store.check() == []
    assert await row_of(link, "SELECT 1")


async def test_portions_without_rights_say_which(store_url: str, link: Link) -> None:
    """A role that was given its rights before there were shared limits lacks them on one table."""
    async with link.using() as connection:
        url = await as_modest(connection, store_url)
        role = url.partition("//")[2].partition("@")[0]
    await do(link, f"GRANT USAGE ON SCHEMA worker TO {role}")
    ask = Ask(holder="a", number=1, count=9, per=1.0, portion=0, wants=9)
    async with Link(url, "modest") as modest:
        with pytest.raises(Permanent, match=r"refuses shared limits: GRANT SELECT, INSERT, UPDATE ON worker\.portions"):
            await PostgresPortions(modest).settle("stripe", ask)
        await do(link, f"GRANT SELECT, INSERT, UPDATE ON worker.portions TO {role}")
        assert (await PostgresPortions(modest).settle("stripe", ask)).portion == 9
