"""Copy a day's orders from PostgreSQL to S3, a part at a time: the first of three steps, before transform-orders."""

from datetime import date

from worker import Bucket, Database, Job, Limits, Outcome, Record, Run, Scope, Source, done, postgres, skipped


class Day(Scope):
    """Which day, in UTC."""

    date: date


class ExtractOrders(Job[Day]):
    """A part is the day's orders among a thousand ids: one that did not change is not written again."""

    limits = Limits(concurrency=4, record_timeout=60)
    environment = {"ORDERS_BUCKET": None}
    one_per_scope = True

    PARTS = """
        SELECT id / 1000 AS part, md5(string_agg(orders::text, '' ORDER BY id)) AS digest
        FROM orders WHERE (placed_at AT TIME ZONE 'UTC')::date = $1 GROUP BY part"""

    ORDERS = """
        SELECT id, placed_at, customer_id, country, status, currency, amount_cents, note FROM orders
        WHERE (placed_at AT TIME ZONE 'UTC')::date = $1 AND id >= $2::bigint * 1000 AND id < ($2 + 1) * 1000 ORDER BY id"""

    def source(self, run: Run[Day]) -> Source:
        return postgres.query(self.PARTS, run.scope.date, key="part")

    async def open(self, run: Run[Day]) -> None:
        self.database = await run.enter(Database(run))
        self.bucket = await run.enter(Bucket(run, run.environment["ORDERS_BUCKET"]))
        parts = await self.database.fetch(self.PARTS, run.scope.date)
        if not run.dry_run:
            names = [f"{row['part']:09}" for row in parts]
            await self.bucket.announce(f"raw/{run.scope.date}/parts", names, ".jsonl.gz")

    async def process(self, part: Record, run: Run[Day]) -> Outcome:
        key = f"raw/{run.scope.date}/{part['part']:09}.jsonl.gz"
        if await self.bucket.is_made_of(part["digest"], key):
            return skipped("unchanged")
        if not run.dry_run:
            orders = self.database.rows(self.ORDERS, run.scope.date, part["part"])
            run.counters["bytes"] += await self.bucket.upload_lines(key, orders, source=part["digest"])
        return done(key)
