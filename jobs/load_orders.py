"""Load a day's clean orders from S3 into PostgreSQL by COPY, a part at a time: the last of three steps."""

from datetime import date

from worker import Bucket, Database, Job, Limits, Outcome, Record, Run, Scope, Source, done, s3


class Day(Scope):
    """Which day, in UTC."""

    date: date


class LoadOrders(Job[Day]):
    """Each part replaces its own rows in one transaction; what is the same already is not written again."""

    limits = Limits(concurrency=4, record_timeout=300)
    environment = {"ORDERS_BUCKET": None}
    one_per_scope = True

    STAGE = "CREATE TEMP TABLE staged ON COMMIT DROP AS SELECT order_id, day, customer_id, country, currency, amount, note FROM sales LIMIT 0"

    REPLACE = """
        WITH gone AS (DELETE FROM sales WHERE day = $1 AND order_id / 1000 = $2 AND order_id NOT IN (SELECT order_id FROM staged))
        INSERT INTO sales AS was (order_id, day, customer_id, country, currency, amount, note) SELECT * FROM staged
        ON CONFLICT (order_id) DO UPDATE SET (day, customer_id, country, currency, amount, note) =
            (EXCLUDED.day, EXCLUDED.customer_id, EXCLUDED.country, EXCLUDED.currency, EXCLUDED.amount, EXCLUDED.note)
        WHERE was IS DISTINCT FROM EXCLUDED"""

    def source(self, run: Run[Day]) -> Source:
        return s3.objects(run, run.environment["ORDERS_BUCKET"], f"clean/{run.scope.date}/", suffix=".csv.gz")

    async def open(self, run: Run[Day]) -> None:
        self.database = await run.enter(Database(run))
        self.bucket = await run.enter(Bucket(run, run.environment["ORDERS_BUCKET"]))

    async def check(self, run: Run[Day]) -> list[str]:
        return await self.bucket.lacking(f"raw/{run.scope.date}/parts", f"clean/{run.scope.date}/")

    async def process(self, clean: Record, run: Run[Day]) -> Outcome:
        part = int(clean["key"].rpartition("/")[2].removesuffix(".csv.gz"))
        if not run.dry_run:
            rows = self.bucket.stream(clean["key"], gzip=True)
            async with self.database.transaction() as connection:
                await connection.execute(self.STAGE)
                await connection.copy_to_table("staged", source=rows, format="csv", header=True)
                await connection.execute(self.REPLACE, run.scope.date, part)
        return done(clean["key"])
