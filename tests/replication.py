"""A primary and a replica that streams from it, for tests of REPLICA_URL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from worker.errors import Faults
from worker.local.postgres import Postgres


class Primary(Postgres):
    """A server that replicas may follow."""

    settings = Postgres.settings | {"wal_level": "replica", "max_wal_senders": "4"}


class Replica(Postgres):
    """A copy of a primary that follows it; replay can be held, as a long query or a slow disk holds it."""

    settings = Primary.settings

    def __init__(self, primary: Primary) -> None:
        super().__init__()
        self._primary = primary

    async def _initialize(self) -> None:
        host, _, port = self._primary.address.partition(":")
        options = ("-h", host, "-p", port, "-U", "postgres", "-R", "-X", "stream", "-c", "fast", "--no-sync")
        copying = self._spawn("pg_basebackup", "-D", self._data, *options)
        if await asyncio.to_thread(copying.wait):
            raise Faults([f"pg_basebackup failed: {self._last_words()}"])

    async def hold(self) -> None:
        """Fall behind from now on."""
        await self._ask("SELECT pg_wal_replay_pause()")
        await self.until("SELECT pg_get_wal_replay_pause_state()", "paused")

    async def catch_up(self) -> None:
        """Replay, up to what the primary has by now."""
        await self._ask("SELECT pg_wal_replay_resume()")
        reached = await self._primary._ask("SELECT pg_current_wal_flush_lsn()::text")
        await self.until(f"SELECT pg_last_wal_replay_lsn() >= '{reached}'", True)

    async def until(self, sql: str, answer: object) -> None:
        """Ask until that is the answer: a server tells nobody that its state has changed."""
        while await self._ask(sql) != answer:  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.002)


@asynccontextmanager
async def replicated() -> AsyncIterator[tuple[Primary, Replica]]:
    """Give the two."""
    async with Primary() as primary, Replica(primary) as replica:
        yield primary, replica


async def do(server: Postgres, sql: str) -> list[Any]:
    """Ask or change a server's database."""
    connection = await asyncpg.connect(server.url)
    try:
        rows: list[Any] = await connection.fetch(sql)
        return rows
    finally:
        await connection.close()
