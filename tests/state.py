"""What the jobs of a local stack can change: rows, objects, items, messages, webhooks; the run store is not among it."""

import asyncio
import json
from typing import Any
from urllib.request import urlopen

import asyncpg

from worker.local.aws import Aws

TABLES = """SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
            WHERE schemaname NOT IN ('worker', 'pg_catalog', 'information_schema')"""

State = dict[str, Any]


async def state(environment: dict[str, str]) -> State:
    """Give all of it."""
    async with Aws(environment["AWS_ENDPOINT_URL"]) as aws:
        parts = await asyncio.gather(
            _rows(environment["DATABASE_URL"]),
            _objects(aws),
            _items(aws, environment.get("RUN_TABLE")),
            _messages(aws),
            asyncio.to_thread(_webhooks, environment["WEBHOOKS_URL"]),
        )
    return {name: content for part in parts for name, content in part.items()}


async def _rows(url: str) -> State:
    connection = await asyncpg.connect(url)
    try:
        tables = [row[0] for row in await connection.fetch(TABLES)]
        return {
            table: await connection.fetchval(f"SELECT array_agg(t::text ORDER BY t::text) FROM {table} t")
            for table in tables
        }
    finally:
        await connection.close()


async def _objects(aws: Aws) -> State:
    found: State = {}
    for bucket in (await aws.call("s3", "list_buckets"))["Buckets"]:
        listed = await aws.call("s3", "list_object_versions", Bucket=bucket["Name"])
        found[f"s3://{bucket['Name']}"] = [
            (each["Key"], each["VersionId"], each.get("ETag"))
            for each in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ()))
        ]
    return found


async def _items(aws: Aws, runs: str | None) -> State:
    tables = (await aws.call("dynamodb", "list_tables"))["TableNames"]
    scans = {table: await aws.call("dynamodb", "scan", TableName=table) for table in tables if table != runs}
    return {f"dynamodb {table}": sorted(map(str, scan["Items"])) for table, scan in scans.items()}


async def _messages(aws: Aws) -> State:
    """Count what waits and what is being worked on together: receiving a message does not take it away."""
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found: State = {}
    for queue in (await aws.call("sqs", "list_queues")).get("QueueUrls", ()):
        told = await aws.call("sqs", "get_queue_attributes", QueueUrl=queue, AttributeNames=counts)
        found[queue] = sum(int(told["Attributes"][count]) for count in counts)
    return found


def _webhooks(url: str) -> State:
    with urlopen(f"{url}/_receiver/deliveries") as answer:
        return {"webhooks": json.load(answer)}
