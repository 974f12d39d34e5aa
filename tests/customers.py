"""A database and a provider with customers, for tests that run sync-customers from outside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from payments import Heard
from simulated import provider

from jobs.local.sync_customers import TABLES
from worker.cli.database import migrated
from worker.local.provider_answers import Simulator


class World:
    """The two, and the environment that points at them."""

    def __init__(self, url: str, provider_url: str, simulator: Simulator) -> None:
        self.url, self.simulator, self.customers = url, simulator, simulator.customers
        self.calls = simulator.calls = Heard()
        self.environment = {
            "DATABASE_URL": url,
            "STRIPE_API_BASE": provider_url,
            "STRIPE_API_KEY": simulator.api_key,
        }

    def answer_no_more_than(self, calls: int | None) -> None:
        """Leave further calls without an answer; None: answer all."""

        def stall() -> None:
            stalled = calls is not None and self.calls.by_ref.total() > calls
            self.simulator.behaviour.delay = 600 if stalled else 0

        self.calls.stall = stall

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Ask or change the database."""
        connection = await asyncpg.connect(self.url)
        try:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()

    async def stored(self) -> dict[str, tuple[str | None, bool]]:
        """Give each customer's e-mail and whether it is marked as deleted, by id."""
        rows = await self.sql("SELECT id, email, deleted IS NOT NULL AS deleted FROM customers")
        return {row["id"]: (row["email"], row["deleted"]) for row in rows}

    def there(self) -> dict[str, tuple[str | None, bool]]:
        """Give the same of the provider's customers."""
        return {customer.id: (customer.email, False) for customer in self.customers}


@asynccontextmanager
async def customers(url: str, count: int, **behaviour: Any) -> AsyncIterator[World]:
    """Migrate a database, make its tables, and run a provider that has so many customers."""
    await migrated(url)
    async with provider(**behaviour) as running:
        running.simulator.customers.have(count)
        world = World(url, running.url, running.simulator)
        connection = await asyncpg.connect(url)
        await connection.execute(TABLES)
        await connection.close()
        yield world
