"""deliver-webhooks from outside: what is delivered, what is buried, and that nothing is lost when it is killed or stopped."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

import pytest
from sqs_server import Sqs, SqsQueue, serving
from worker_process import adds_up, finished, worker

from worker.cli.database import migrated
from worker.local.webhooks import Webhooks


class Delivered(Counter[str]):
    """Deliveries by webhook id, which can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.came = asyncio.Event()

    def __setitem__(self, name: str, count: int) -> None:
        super().__setitem__(name, count)
        self.came.set()

    async def until(self, count: int) -> None:
        """Wait until so many were delivered."""
        while self.total() < count:
            self.came.clear()
            await self.came.wait()


class World:
    """A queue, its dead-letter queue and a receiver in this process, and the environment that points at them."""

    def __init__(self, sqs: Sqs, receiver: Webhooks, database_url: str) -> None:
        self.receiver = receiver
        self.delivered = receiver.deliveries = Delivered()
        policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:1:dead"})}
        self.queue, self.dead = SqsQueue(policy | {"QueueArn": "arn:aws:sqs:eu-central-1:1:hooks"}), SqsQueue({})
        sqs.queues |= {"hooks": self.queue, "dead": self.dead}
        sqs.longest_wait_s = 0.1
        self._sqs = sqs
        self.environment = {
            "DATABASE_URL": database_url,
            "AWS_ENDPOINT_URL": sqs.url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "WEBHOOK_QUEUE_URL": f"{sqs.url}/1/hooks",
            "WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "WEBHOOK_TARGETS": "any",
            "LEASE": "1",
        }

    async def send(self, *bodies: Any) -> None:
        """Send messages; a text goes as it is."""
        texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
        entries = [{"Id": str(place), "MessageBody": text} for place, text in enumerate(texts)]
        await self._sqs.answer("SendMessageBatch", {"QueueUrl": "/hooks", "Entries": entries})

    async def send_webhooks(self, count: int) -> set[str]:
        """Send so many webhooks; give their ids."""
        await self.send(*({"url": f"{self.receiver.url}/{number}", "payload": number} for number in range(count)))
        return set(self.queue.kept)

    def show_all(self) -> None:
        """End every visibility timeout."""
        for kept in self.queue.kept.values():
            self.queue.hide(kept, 0)

    async def run(self, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
        """Run the job; give its exit code and its last line."""
        code, ran = await finished("deliver-webhooks", *arguments, **self.environment | environment)
        return code, ran.end


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Give it, with a run store."""
    await migrated(database_url)
    sqs = Sqs()
    async with serving(sqs), Webhooks() as receiver:
        yield World(sqs, receiver, database_url)


async def test_deliver_webhooks_delivers_each_once_and_empties_the_queue(world: World) -> None:
    """What fails for now is tried again; the next run finds nothing to do."""
    ids = await world.send_webhooks(10)
    world.receiver.behaviour.fail = 0.2
    code, end = await world.run()
    assert (code, end["tally"]["done"]) == (0, 10), end
    assert set(world.receiver.accepted) == ids
    assert set(world.receiver.accepted.values()) == {1}
    assert not world.queue.kept
    assert not world.dead.kept
    code, end = await world.run()
    assert (code, end["tally"]["read"]) == (0, 0)


async def test_deliver_webhooks_buries_poison_and_refuses_to_replay_it(world: World) -> None:
    """Poison is in the dead-letter queue, once, with its reason; to replay it there is the queue's own command."""
    world.receiver.behaviour.down, world.receiver.behaviour.status = ("/gone",), 410
    await world.send_webhooks(3)
    gone = {"url": f"{world.receiver.url}/gone", "payload": 1}
    await world.send("no JSON", {"url": 7}, [1], gone)
    code, end = await world.run("--run-key", "night")
    assert (code, end["verdict"]) == (1, "completed with failures"), end
    assert not world.queue.kept
    reasons = Counter(kept.attributes["ErrorType"]["StringValue"] for kept in world.dead.kept.values())
    assert reasons == {"not JSON": 1, "no webhook": 2, "HTTP 410": 1}
    redrive = "aws sqs start-message-move-task --source-arn arn:aws:sqs:eu-central-1:1:dead --destination-arn"
    for again in (("deliver-webhooks", "--run-key", "night"), ("replay", "deliver-webhooks:night")):
        code, refused = await finished(*again, **world.environment)
        assert code == 2, refused.lines
        assert redrive in refused.faults[0]


async def test_deliver_webhooks_posts_nothing_to_private_addresses(world: World) -> None:
    """Unless it is told that it may: URLs come from whoever subscribes."""
    await world.send_webhooks(2)
    await world.send({"url": f"{world.receiver.url.replace('http', 'https')}/x", "payload": 1})
    code, _ = await world.run(WEBHOOK_TARGETS="public")
    assert code == 1
    assert not world.delivered
    reasons = [kept.attributes["ErrorMessage"]["StringValue"] for kept in world.dead.kept.values()]
    assert sum("only https may be" in reason for reason in reasons) == 2
    assert sum("is not public" in reason for reason in reasons) == 1


@pytest.mark.parametrize("number", [SIGKILL, SIGTERM])
async def test_deliver_webhooks_loses_nothing_when_it_ends_in_the_middle(world: World, number: Signals) -> None:
    """What was under way is delivered by the next attempt; killed, once its visibility timeout is over, stopped, at once."""
    ids = await world.send_webhooks(20)
    world.receiver.behaviour.delay = 0.05
    async with worker("deliver-webhooks", "--run-key", "night", **world.environment) as running:
        await world.delivered.until(8)
        running.signal(number)
        assert await running.ended() == (-SIGKILL if number == SIGKILL else 75)
    assert world.queue.kept
    if number == SIGKILL:
        world.show_all()
    else:
        assert len(world.queue.visible) == len(world.queue.kept)
    code, end = await world.run("--run-key", "night")
    assert code == 0, end
    assert adds_up(end["tally"])
    assert set(world.receiver.accepted) == ids
    assert not world.queue.kept
    assert not world.dead.kept


async def test_deliver_webhooks_in_a_dry_run_sends_nothing(world: World) -> None:
    """It says where it would post, without the query, which may hold a token, and leaves the queue as it was."""
    await world.send(*({"url": f"{world.receiver.url}/{n}?token=s3cret", "payload": n} for n in range(7)))
    code, end = await world.run("--dry-run")
    assert (code, end["tally"]["done"]) == (0, 7)
    assert len(end["samples"]) == 5
    assert all(world.receiver.url in sample and "s3cret" not in sample for sample in end["samples"])
    assert not world.delivered
    assert len(world.queue.visible) == 7
