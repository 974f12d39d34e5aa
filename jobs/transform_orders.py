"""Make the CSV files that load-orders loads out of the orders that extract-orders put to S3: the second of three steps."""

from datetime import date
from decimal import Decimal
from typing import Any

from worker import Bucket, Job, Limits, Outcome, Record, Run, Scope, Source, done, s3, skipped


class Day(Scope):
    """Which day, in UTC."""

    date: date


class TransformOrders(Job[Day]):
    """Cancelled orders are left out; a part that cannot be read fails as a whole, and is replayed as a whole."""

    limits = Limits(concurrency=4, record_timeout=60)
    environment = {"ORDERS_BUCKET": None}
    one_per_scope = True

    def source(self, run: Run[Day]) -> Source:
        return s3.objects(run, run.environment["ORDERS_BUCKET"], f"raw/{run.scope.date}/", suffix=".jsonl.gz")

    async def open(self, run: Run[Day]) -> None:
        self.bucket = await run.enter(Bucket(run, run.environment["ORDERS_BUCKET"]))

    async def check(self, run: Run[Day]) -> list[str]:
        return await self.bucket.lacking(f"raw/{run.scope.date}/parts", f"raw/{run.scope.date}/")

    async def process(self, raw: Record, run: Run[Day]) -> Outcome:
        key = raw["key"].replace("raw/", "clean/").replace(".jsonl", ".csv")
        if await self.bucket.is_made_of(raw["etag"], key):
            return skipped("unchanged")
        if not run.dry_run:
            orders = (clean(order) async for order in self.bucket.lines(raw["key"]) if order["status"] != "cancelled")
            run.counters["bytes"] += await self.bucket.upload_lines(key, orders, form="csv", source=raw["etag"])
        return done(key)


def clean(order: Record) -> dict[str, Any]:
    """Give an order as it is to be loaded: amounts in the currency's unit, codes in upper case, no empty notes."""
    return {
        "order_id": order["id"],
        "day": order["placed_at"][:10],
        "customer_id": order["customer_id"],
        "country": order["country"].upper(),
        "currency": order["currency"].upper(),
        "amount": Decimal(order["amount_cents"]) / 100,
        "note": (order["note"] or "").strip() or None,
    }
