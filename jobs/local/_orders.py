"""Orders of yesterday and a few of today, and what each step of their pipeline finds: the seeds of all three are made of it."""

import gzip
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from jobs.extract_orders import ExtractOrders
from jobs.transform_orders import clean
from worker.lines import Writing

DAY = datetime.now(UTC).date() - timedelta(days=1)
BUCKET = "local-orders"

TABLES = """
    CREATE TABLE IF NOT EXISTS orders (
        id           bigint PRIMARY KEY,
        placed_at    timestamptz NOT NULL,
        customer_id  bigint NOT NULL,
        country      text NOT NULL,
        status       text NOT NULL,
        currency     text NOT NULL,
        amount_cents bigint NOT NULL,
        note         text
    );
    CREATE INDEX IF NOT EXISTS orders_of_a_day ON orders (((placed_at AT TIME ZONE 'UTC')::date), id);
    CREATE TABLE IF NOT EXISTS clean_orders (
        order_id    bigint PRIMARY KEY,
        day         date NOT NULL,
        customer_id bigint NOT NULL,
        country     text NOT NULL,
        currency    text NOT NULL,
        amount      numeric(12, 2) NOT NULL,
        note        text
    );
    CREATE TABLE IF NOT EXISTS clean_order_parts (object text PRIMARY KEY, etag text NOT NULL);
    CREATE INDEX IF NOT EXISTS clean_orders_of_a_day ON clean_orders (day, order_id);
"""

ORDERS = """
    INSERT INTO orders
    SELECT id, ($2::date + time '00:00:00' + id % 90000 * interval '1 s') AT TIME ZONE 'UTC', 1 + id % 700,
           (ARRAY['de', 'fr', 'it', 'jp'])[1 + id % 4],
           CASE WHEN id % 11 = 0 THEN 'cancelled' ELSE 'paid' END,
           (ARRAY['eur', 'usd'])[1 + id % 2], 100 + id * 7919 % 90000,
           (ARRAY[NULL, '', 'a "quoted", note', E'two\\nlines', ' ring twice ', 'grüße \\N'])[1 + id % 6]
    FROM generate_series(11, 10 + $1::bigint * 13, 13) AS id
    ON CONFLICT (id) DO NOTHING"""


async def ordered(postgres: Any, aws: Any, records: int, bucket: str = BUCKET) -> dict[str, str]:
    """Make the tables, the orders and the bucket; give the variables of every step."""
    await postgres.execute(TABLES)
    await postgres.execute(ORDERS, records, DAY)
    if bucket not in [each["Name"] for each in (await aws.call("s3", "list_buckets"))["Buckets"]]:
        await aws.call("s3", "create_bucket", Bucket=bucket)
    return {"ORDERS_BUCKET": bucket, "JOB_DATE": f"{DAY}"}


async def extracted(postgres: Any, aws: Any, records: int, bucket: str = BUCKET) -> dict[str, str]:
    """Go on to what extract-orders leaves in the bucket."""
    environment = await ordered(postgres, aws, records, bucket)
    parts = await postgres.fetch(f"{ExtractOrders.PARTS} ORDER BY part", DAY)
    names = "".join(f"{row['part']:09}\n" for row in parts)
    await aws.call("s3", "put_object", Bucket=bucket, Key=f"raw/{DAY}/parts", Body=names.encode())
    for row in parts:
        orders = await postgres.fetch(ExtractOrders.ORDERS, DAY, row["part"])
        body = b"".join(map(Writing("jsonl"), orders))
        await _put(aws, bucket, f"raw/{DAY}/{row['part']:09}.jsonl.gz", body)
    return environment


async def transformed(postgres: Any, aws: Any, records: int, bucket: str = BUCKET) -> dict[str, str]:
    """Go on to what transform-orders leaves there."""
    environment = await extracted(postgres, aws, records, bucket)
    for row in await postgres.fetch(ExtractOrders.PARTS, DAY):
        orders = [dict(order) for order in await postgres.fetch(ExtractOrders.ORDERS, DAY, row["part"])]
        read = [msgspec.json.decode(msgspec.json.encode(order)) for order in orders if order["status"] != "cancelled"]
        body = b"".join(map(Writing("csv"), map(clean, read)))
        await _put(aws, bucket, f"clean/{DAY}/{row['part']:09}.csv.gz", body)
    return environment


async def _put(aws: Any, bucket: str, key: str, body: bytes) -> None:
    await aws.call("s3", "put_object", Bucket=bucket, Key=key, Body=gzip.compress(body, mtime=0))
