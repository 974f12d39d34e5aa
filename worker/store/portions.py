"""Shared rate limits in PostgreSQL: one row a limit, settled under its lock, on the database's clock."""

import asyncpg
import msgspec

from worker.database import Link, where
from worker.errors import Permanent
from worker.portions import Ask, Grant, Ledger, settle
from worker.store import statements as sql

_MORTAL_MS = "2000"

_MAKE = "INSERT INTO worker.portions (name) VALUES ($1) ON CONFLICT (name) DO NOTHING"
_LOCK = "SELECT ledger::text FROM worker.portions WHERE name = $1 FOR UPDATE"
_NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
_KEEP = "UPDATE worker.portions SET ledger = $2::text::jsonb, at = now() WHERE name = $1"


class PostgresPortions:
    """The ledgers of the run store; see `Portions`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def settle(self, name: str, ask: Ask) -> Grant:
        """Settle what a task asks."""
        try:
            return await self._settled(name, ask)
        except asyncpg.InsufficientPrivilegeError as error:
            needed = "GRANT SELECT, INSERT, UPDATE ON worker.portions"
            raise Permanent(
                f"database {where(self._link.url)} refuses shared limits: {needed}", "RateNotShared"
            ) from error

    async def _settled(self, name: str, ask: Ask) -> Grant:
        async with self._link.using() as connection, connection.transaction():
            await connection.execute(sql.MORTAL, _MORTAL_MS)  # a task that freezes in here must not hold up all others
            if (found := await connection.fetchval(_LOCK, name)) is None:
                await connection.execute(_MAKE, name)
                found = await connection.fetchval(_LOCK, name)
            now = await connection.fetchval(_NOW)  # after the lock is had: whoever had it before has settled earlier
            ledger, grant = settle(msgspec.json.decode(found, type=Ledger), ask, now)
            await connection.execute(_KEEP, name, msgspec.json.encode(ledger).decode())
            return grant
