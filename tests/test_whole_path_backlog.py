"""A queue's backlog: as many tasks as it needs, never more than the cap, every webhook delivered, poison put aside."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio
from firing import by_scheduler
from function_server import Functions
from local_ecs import LocalEcs
from slack_server import Reply, slack
from sqs_server import Sqs, SqsQueue, serving
from whole_path import WholePath

from jobs.deliver_webhooks import DeliverWebhooks
from worker.cli.database import migrated
from worker.local.webhooks import Webhooks

CAP = 4


class World:
    """A queue, its dead-letter queue, a receiver, and the path to them."""

    def __init__(self, sqs: Sqs, receiver: Webhooks) -> None:
        self.receiver = receiver
        policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:1:dead"})}
        self.queue, self.dead = SqsQueue(policy | {"QueueArn": "arn:aws:sqs:eu-central-1:1:hooks"}), SqsQueue({})
        sqs.queues |= {"hooks": self.queue, "dead": self.dead}
        sqs.longest_wait_s = 0.1
        self._sqs = sqs
        self.environment = {
            "AWS_ENDPOINT_URL_SQS": sqs.url,
            "WEBHOOK_QUEUE_URL": f"{sqs.url}/1/hooks",
            "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "WEBHOOK_TARGETS": "any",
        }

    async def send(self, webhooks: int, poison: int) -> set[str]:
        """Send so many of each; give the webhooks' ids."""
        hooks = [json.dumps({"url": f"{self.receiver.url}/{number}", "payload": number}) for number in range(webhooks)]
        for body in hooks:
            await self._put(body)
        sent = set(self.queue.kept)
        for number in range(poison):
            await self._put(f"poison {number}")
        return sent

    async def _put(self, body: str) -> None:
        asked = {"QueueUrl": "/hooks", "Entries": [{"Id": "one", "MessageBody": body}]}
        await self._sqs.answer("SendMessageBatch", asked)


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """Give it."""
    sqs = Sqs()
    async with serving(sqs), Webhooks() as receiver:
        yield World(sqs, receiver)


def most_at_once(tasks: list[dict[str, Any]]) -> int:
    """Count the tasks that lived at once, from when they were asked for until they had stopped."""
    changes: list[tuple[datetime, int]] = [(task["createdAt"], 1) for task in tasks]
    changes += [(task["stoppedAt"], -1) for task in tasks]
    live = most = 0
    for _, change in sorted(changes):
        live += change
        most = max(most, live)
    return most


@pytest.mark.parametrize(
    ("webhooks", "poison", "per_task"), [(40, 4, 8), pytest.param(1_000, 20, 100, marks=pytest.mark.soak)]
)
async def test_whole_path_works_a_backlog_off(
    world: World,
    local_ecs: LocalEcs,
    database_url: str,
    lambdas: Functions,
    webhooks: int,
    poison: int,
    per_task: int,
) -> None:
    """The schedule fires and fires, though four tasks are at work: never more of them, until the queue is empty."""
    await migrated(database_url)
    with slack(Reply()) as channel:
        path = WholePath(local_ecs, lambdas, database_url, channel.url)
        path.per_task = {"deliver-webhooks": per_task}
        path.environment["AWS_ENDPOINT_URL_SQS"] = world.environment["AWS_ENDPOINT_URL_SQS"]
        path.register("deliver-webhooks", world.environment, "WEBHOOK_SECRET")
        ids = await world.send(webhooks, poison)
        fired = 0
        async with asyncio.timeout(120):
            while world.queue.kept:
                fired += 1
                night = by_scheduler(
                    "deliver-webhooks", f"2026-11-23T02:{fired % 60:02}:00Z", BacklogQueueArn="arn:hooks"
                )
                await path.launch(night)
                await path.report()
                await asyncio.sleep(0.5)
        tasks = await path.settled()
    assert fired > 1
    assert most_at_once(tasks) == CAP == DeliverWebhooks.max_tasks
    assert set(world.receiver.accepted) == ids
    assert len(world.dead.kept) == poison
