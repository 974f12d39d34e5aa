"""Create and update the run store's schema: numbered files, each applied once, in order, under a lock."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import asyncpg

from worker.database import Link

_LOCK = 0x776F726B6572  # "worker": a transaction's advisory lock, so that poolers do no harm


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Give all migrations that this version knows, oldest first."""
    found = sorted(
        (path.name, path.read_text())
        for path in (files("worker.store") / "migrations").iterdir()
        if path.name.endswith(".sql")
    )
    return [Migration(int(name[:4]), name.removesuffix(".sql"), sql) for name, sql in found]


async def migrate(link: Link) -> list[str]:
    """Apply what is missing, all in one transaction; give the names of what was applied."""
    async with link.using() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await _prepare(connection)
        applied = {row["version"] for row in await connection.fetch("SELECT version FROM worker.migrations")}
        missing = [migration for migration in migrations() if migration.version not in applied]
        for migration in missing:
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO worker.migrations (version, name) VALUES ($1, $2)", migration.version, migration.name
            )
    return [migration.name for migration in missing]


async def _prepare(connection: "asyncpg.Connection[Any]") -> None:
    """Make schema and table unless they are there: IF NOT EXISTS would ask for the right to make them all the same."""
    if await connection.fetchval("SELECT to_regnamespace('worker') IS NULL"):
        await connection.execute("CREATE SCHEMA worker")
    if await connection.fetchval("SELECT to_regclass('worker.migrations') IS NULL"):
        await connection.execute(
            "CREATE TABLE worker.migrations"
            " (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )


async def version(link: Link) -> int:
    """Give the number of the newest migration that the database has; 0 for none at all."""
    async with link.using() as connection:
        try:
            return await connection.fetchval("SELECT coalesce(max(version), 0) FROM worker.migrations") or 0
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return 0
