"""What tests of the orders pipeline share: a database with orders, a bucket, and what must come of them."""

from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aws import Aws
from worker_process import finished

from jobs.local._orders import DAY
from worker.local.aws import Aws as Client

STEPS = ("extract-orders", "transform-orders", "load-orders")

SALES = "SELECT order_id, day, customer_id, country, currency, amount, note FROM clean_orders ORDER BY order_id"

STRAIGHT = """
    SELECT id, (placed_at AT TIME ZONE 'UTC')::date, customer_id, upper(country), upper(currency), amount_cents / 100.0,
           nullif(btrim(note, E' \\n'), '')
    FROM orders WHERE (placed_at AT TIME ZONE 'UTC')::date = $1 AND status <> 'cancelled' ORDER BY id"""


@dataclass
class Orders:
    """A database with orders, and a bucket with what the steps make of them."""

    url: str
    aws: Aws
    bucket: str
    environment: dict[str, str] = field(default_factory=dict)

    async def seeded(self, seed: Any, records: int = 400) -> None:
        """Bring it to where a step begins."""
        connection = await asyncpg.connect(self.url)
        async with Client(self.aws.url) as client:
            given = await seed(connection, client, records, self.bucket)
        await connection.close()
        self.environment = {**self.aws.environment, **given, "DATABASE_URL": self.url}

    async def run(self, step: str, *arguments: str) -> tuple[int, Any]:
        """Run a step to its end; give its exit code and how it ended, or why it could not begin."""
        code, ran = await finished(step, *arguments, **self.environment)
        return code, ran.faults if code == 2 else ran.end["tally"]

    async def sql(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Give a query's rows."""
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def is_right(self) -> bool:
        """Hold the clean orders against what plain SQL says they are."""
        straight = await self.sql(STRAIGHT, DAY)
        return len(straight) > 250 and await self.sql(SALES) == straight

    async def state(self) -> tuple[Any, dict[str, Any]]:
        """Give where each row of the clean orders stands, and each object's ETag and when it was written."""
        return await self.sql("SELECT ctid::text, xmin::text FROM clean_orders ORDER BY order_id"), self._contents()

    def _contents(self) -> dict[str, Any]:
        listing = self.aws.s3.list_objects_v2(Bucket=self.bucket)["Contents"]
        return {
            each["Key"]: (each["ETag"], each["LastModified"]) for each in listing if not each["Key"].endswith("/parts")
        }
