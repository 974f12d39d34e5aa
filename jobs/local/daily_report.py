"""Sales for daily-report: `records` of them yesterday, in three regions, and an empty bucket."""

from typing import Any

BUCKET = "reports"
TABLE = """
    CREATE TABLE IF NOT EXISTS purchases (
        id           bigint PRIMARY KEY,
        region       text NOT NULL,
        amount_cents bigint NOT NULL,
        sold_at      timestamptz NOT NULL
    )"""
INDEX = "CREATE INDEX IF NOT EXISTS purchases_by_region ON purchases (region, sold_at)"
SALES = """
    INSERT INTO purchases
    SELECT n, (ARRAY['asia', 'eu', 'us'])[1 + n % 3], 500 + n * 7919 % 49500,
           (date_trunc('day', now() AT TIME ZONE 'UTC') - interval '1 day') AT TIME ZONE 'UTC'
               + make_interval(mins => (n * 37 % 1440)::int)
    FROM generate_series(1, $1::bigint) AS n"""


async def seed(postgres: Any, aws: Any, records: int) -> dict[str, str]:
    """Make and fill the table, and make the bucket."""
    await postgres.execute(TABLE)
    await postgres.execute(INDEX)
    await postgres.execute(SALES, records)
    await aws.call("s3", "create_bucket", Bucket=BUCKET)
    return {"REPORTS_BUCKET": BUCKET}
