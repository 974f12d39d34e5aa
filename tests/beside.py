"""What jobs work on beside PostgreSQL, as their own seeds make it, fresh for each run of the kill-anywhere kit."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aws
from sqs_server import Sqs, serving

from worker.local.aws import REGION, Aws
from worker.local.seed import find
from worker.local.webhooks import Webhooks
from worker.testing.elsewhere import Fresh, World

JOBS = Path(__file__).parent.parent / "jobs"

Rows = Mapping[str, Iterable[str]]
Read = Callable[[Aws, Mapping[str, str]], Awaitable[Rows]]
"""Reads all that a job may have changed, but for what differs from day to day: times, and how records were put together."""


@dataclass
class Server:
    """Where a seed finds what it fills."""

    url: str


async def digests(client: Aws, environment: Mapping[str, str]) -> Rows:
    """Give all digests."""
    items = await _items(client, environment["DIGESTS_TABLE"])
    return {"digests": [json.dumps(item | {"written": "some time"}, sort_keys=True) for item in items]}


async def sessions(client: Aws, environment: Mapping[str, str]) -> Rows:
    """Give the sessions that are left, and those that are archived, once or more."""
    left = [item["id"]["S"] for item in await _items(client, environment["SESSIONS_TABLE"])]
    archives = (await _objects(client, environment["ARCHIVE_BUCKET"])).values()
    archived = {json.loads(line)["id"] for archive in archives for line in archive.splitlines()}
    return {"left": left, "archived": archived}


async def orders(client: Aws, environment: Mapping[str, str]) -> Rows:
    """Give what the steps of the pipeline have written."""
    objects = await _objects(client, environment["ORDERS_BUCKET"])
    return {"orders": [f"{key} {body.decode()}" for key, body in objects.items()]}


def on_moto(job: str, records: int, server: aws.Aws, database: str, read: Read) -> Fresh:
    """Make worlds on the tests' moto, which forgets all before each; what the seed puts into the database stays."""

    @asynccontextmanager
    async def fresh() -> AsyncIterator[World]:
        await asyncio.to_thread(_forget, server.url)
        seeded = await _sown(job, {"postgres": Server(database), "aws": Server(server.url)}, records)
        environment = server.environment | {"AWS_REGION": REGION} | seeded
        async with Aws(server.url) as client:
            yield World(environment, partial(read, client, environment))

    return fresh


def _forget(url: str) -> None:
    urlopen(f"{url}/moto-api/reset", b"").close()


class ImpatientSqs(Sqs):
    """Its visibility timeouts are over when the next attempt looks at the queue: the one before was killed."""

    async def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer a call."""
        if operation == "GetQueueAttributes" and asked["AttributeNames"] == ["All"]:
            queue = self.queues[asked["QueueUrl"].rpartition("/")[2]]
            for kept in [kept for kept in queue.kept.values() if kept not in queue.visible]:
                queue.hide(kept, 0)
        return await super().answer(operation, asked)


def on_queue(job: str, records: int) -> Fresh:
    """Make worlds of a queue and a receiver: each webhook arrived, all poison is buried, nothing is left."""

    @asynccontextmanager
    async def fresh() -> AsyncIterator[World]:
        sqs = ImpatientSqs()
        async with serving(sqs) as url, Webhooks() as receiver:
            seeded = await _sown(job, {"aws": Server(url), "webhooks": receiver}, records)

            async def rows() -> Rows:
                dead = {kept.body for kept in sqs.queues["webhooks-dead"].kept.values()}
                return {"arrived": set(receiver.accepted), "dead": dead, "left": list(sqs.queues["webhooks"].kept)}

            credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
            yield World({"AWS_ENDPOINT_URL": url, "AWS_REGION": REGION, **credentials, **seeded}, rows)

    return fresh


async def _sown(job: str, servers: Mapping[str, Any], records: int) -> dict[str, str]:
    seed = find(JOBS, job)
    assert seed is not None, f"{job} has no seed"
    return await seed.sow(servers, records)


async def _items(client: Aws, table: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await client.call("dynamodb", "scan", TableName=table))["Items"]
    return items


async def _objects(client: Aws, bucket: str) -> dict[str, bytes]:
    """Give the bodies of all objects, unpacked."""
    listed = (await client.call("s3", "list_objects_v2", Bucket=bucket)).get("Contents", ())
    return {each["Key"]: await _body(client, bucket, each["Key"]) for each in listed}


async def _body(client: Aws, bucket: str, key: str) -> bytes:
    body: bytes = await (await client.call("s3", "get_object", Bucket=bucket, Key=key))["Body"].read()
    return gzip.decompress(body) if key.endswith(".gz") else body
