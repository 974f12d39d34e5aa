"""Load a day's clean orders from S3 into PostgreSQL by COPY, a part at a time: the last of three steps."""

from datetime import date
from io import BytesIO

from worker import (
    VALUE,
    Bucket,
    Connection,
    Database,
    Job,
    Limits,
    Outcome,
    Record,
    Results,
    Run,
    Scope,
    Source,
    columns,
    done,
    s3,
    skipped,
)


class Day(Scope):
    """Which day, in UTC."""

    date: date


class LoadOrders(Job[Day]):
    """Exactly once: a part replaces its own rows, and is noted as loaded, within the page commit."""

    limits = Limits(concurrency=4, page_size=10)
    environment = {"ORDERS_BUCKET": None}
    one_per_scope = True

    LOADED = "SELECT FROM clean_order_parts WHERE object = $1 AND etag = $2"

    STAGE = "CREATE TEMP TABLE IF NOT EXISTS staged (LIKE clean_orders) ON COMMIT DROP; TRUNCATE staged"

    REPLACE = """
        WITH loaded AS (INSERT INTO clean_order_parts SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT (object) DO UPDATE SET
            etag = EXCLUDED.etag RETURNING split_part(object, '/', 2)::date AS of, substring(object, '(\\d+)[.]')::bigint AS part),
        gone AS (DELETE FROM clean_orders USING loaded WHERE day = of AND order_id / 1000 = part AND order_id NOT IN (SELECT order_id FROM staged))
        INSERT INTO clean_orders SELECT * FROM staged ON CONFLICT (order_id) DO UPDATE SET (day, customer_id, country, currency, amount, note)
            = (EXCLUDED.day, EXCLUDED.customer_id, EXCLUDED.country, EXCLUDED.currency, EXCLUDED.amount, EXCLUDED.note)"""

    def source(self, run: Run[Day]) -> Source:
        return s3.objects(run, run.environment["ORDERS_BUCKET"], f"clean/{run.scope.date}/", suffix=".csv.gz")

    async def open(self, run: Run[Day]) -> None:
        self.database = await run.enter(Database(run))
        self.bucket = await run.enter(Bucket(run, run.environment["ORDERS_BUCKET"]))

    async def check(self, run: Run[Day]) -> list[str]:
        return await self.bucket.lacking(f"raw/{run.scope.date}/parts", f"clean/{run.scope.date}/")

    async def process(self, clean: Record, run: Run[Day]) -> Outcome:
        if await self.database.fetch(self.LOADED, clean["key"], clean["etag"]):
            return skipped("unchanged")
        return done([chunk async for chunk in self.bucket.stream(clean["key"], gzip=True)])

    async def write(self, results: Results, connection: Connection) -> None:
        await connection.execute(self.STAGE)
        for chunks in columns(results, VALUE)[0]:
            await connection.copy_to_table("staged", source=BytesIO(b"".join(chunks)), format="csv", header=True)
        await connection.execute(self.REPLACE, *columns(results, "key", "etag"))
