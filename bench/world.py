"""What everything is measured against: a PostgreSQL with rows in it, and a payment provider that answers at once."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import asyncpg

from worker.cli.database import migrated
from worker.local.postgres import Postgres
from worker.local.provider_process import ProviderOptions, ProviderProcess
from worker.local.seed import seed

ROOT = Path(__file__).parent.parent
_PAYMENTS = ROOT / "jobs" / "local" / "poll_payments.sql"

_RECORDS = """
    CREATE TABLE records (id bigint PRIMARY KEY, ref text NOT NULL, status text NOT NULL, amount bigint NOT NULL,
        updated_at timestamptz NOT NULL);
    CREATE TABLE results (id bigint PRIMARY KEY, status text NOT NULL)"""
_MORE_RECORDS = """
    INSERT INTO records SELECT id, 'pi_' || left(md5(id::text), 16), 'processing', 500 + id % 49500,
        timestamptz '2026-11-22' + id * interval '1 second'
    FROM generate_series((SELECT coalesce(max(id), 0) + 1 FROM records), $1) AS id"""
_RESULTS = "INSERT INTO results SELECT id, 'open' FROM generate_series(1, $1) AS id"


class World:
    """`async with World() as world`; each filling leaves the table as it was at first."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            self.server = await opened.enter_async_context(Postgres())
            self.provider = await opened.enter_async_context(
                ProviderProcess(ProviderOptions(rate=0, delay=0.0, fail=0.0))
            )
            self.url = await self.server.database()
            await migrated(self.url)
            self._connection = await asyncpg.connect(self.url)
            opened.push_async_callback(self._connection.close)
            await self._connection.execute(_RECORDS)
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    @property
    def environment(self) -> dict[str, str]:
        """Point at both, as a job's task definition does."""
        return {
            "DATABASE_URL": self.url,
            "STRIPE_API_BASE": self.provider.url,
            "STRIPE_API_KEY": self.provider.api_key,
        }

    async def records(self, rows: int) -> None:
        """Have at least so many rows that are only read."""
        await self._connection.execute(_MORE_RECORDS, rows, timeout=600)
        await self._connection.execute("VACUUM ANALYZE records", timeout=600)

    async def results(self, rows: int) -> None:
        """Have so many rows that nobody has written yet."""
        await self._connection.execute("TRUNCATE results")
        await self._connection.execute(_RESULTS, rows, timeout=600)
        await self._connection.execute("VACUUM ANALYZE results", timeout=600)

    async def payments(self, rows: int) -> None:
        """Have so many payments that nobody has asked about yet."""
        await self._connection.execute("DROP TABLE IF EXISTS payments")
        await seed(self.url, _PAYMENTS.read_text(encoding="utf-8"), rows)
        await self._connection.execute("VACUUM ANALYZE payments", timeout=600)
