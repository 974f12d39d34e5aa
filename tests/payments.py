"""A database of payments and a provider that knows them, for tests that run the main job from outside."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from simulated import SEED, provider

from worker.cli.database import migrated
from worker.local.fate import fate
from worker.local.provider_answers import Simulator
from worker.local.provider_counts import Calls
from worker.local.seed import seed

SQL = Path(__file__).parent.parent / "jobs" / "local" / "poll_payments.sql"


class Heard(Calls):
    """Count the provider's calls by reference, and let a test wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self.by_ref: Counter[str] = Counter()
        self.stall: Callable[[], None] = lambda: None
        self._heard = asyncio.Event()

    def add(self, ref: str) -> int:
        """Count one more call."""
        self.by_ref[ref] += 1
        self.stall()
        self._heard.set()
        return super().add(ref)

    async def until(self, count: int) -> None:
        """Wait until that many calls came in."""
        while self.by_ref.total() < count:
            self._heard.clear()
            await self._heard.wait()


class Payments:
    """The two, and the environment that points at them: no rate limit, unless a test sets one."""

    def __init__(self, url: str, provider_url: str, simulator: Simulator) -> None:
        self.url, self.simulator = url, simulator
        self.calls = simulator.calls = Heard()
        self.environment = {
            "DATABASE_URL": url,
            "STRIPE_API_BASE": provider_url,
            "STRIPE_API_KEY": simulator.api_key,
            "WORKER_RATE": "0",
        }

    def never_answering(self) -> dict[str, str]:
        """Answer no question about a payment; give the environment."""

        def stall() -> None:
            self.simulator.behaviour.delay = 600

        self.calls.stall = stall
        return self.environment

    async def sql(self, statement: str, *arguments: Any) -> list[Any]:
        """Ask or change the database."""
        connection = await asyncpg.connect(self.url)
        try:
            rows: list[Any] = await connection.fetch(statement, *arguments)
            return rows
        finally:
            await connection.close()

    async def statuses(self) -> dict[str, str]:
        """Give every payment's status by its reference."""
        return {
            row["provider_ref"]: row["status"] for row in await self.sql("SELECT provider_ref, status FROM payments")
        }


@asynccontextmanager
async def payments(url: str, records: int = 100, **behaviour: Any) -> AsyncIterator[Payments]:
    """Migrate and seed a database, and run a provider with this behaviour."""
    await migrated(url)
    await seed(url, SQL.read_text(), records)
    async with provider(**behaviour) as running:
        yield Payments(url, running.url, running.simulator)


def expected(before: dict[str, str]) -> dict[str, str]:
    """Say what the statuses must be after a run, from what they were and each payment's fate."""
    return {
        ref: (fate(SEED, ref).status or status) if status == "processing" else status for ref, status in before.items()
    }
