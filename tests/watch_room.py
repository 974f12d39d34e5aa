"""All that the functions that watch talk to: run store, SNS with a queue behind it, Slack, Datadog, and a launcher."""

import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from aws import Aws
from datadog_server import KEY, Intake, intake
from slack_server import Reply, Slack, slack
from store_worlds import StoreWorld, granted
from stored import a_batch, a_claim

from worker.claim import Store
from worker.environment import settings
from worker.functions.doors import Doors
from worker.functions.telling import Teller
from worker.launches import Answer, Asked, Launched, Reserved
from worker.mask import Mask
from worker.store.books import Books


@dataclass
class Room:
    """What came out of the functions."""

    world: StoreWorld
    doors: Doors
    slack: Slack
    datadog: Intake
    sqs: Any
    queue: str
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    """The requests that the launcher was given."""

    @property
    def posted(self) -> list[dict[str, Any]]:
        """Give what Slack was sent."""
        return [body for _, _, body in self.slack.posted]

    def alerts(self) -> list[dict[str, Any]]:
        """Take what SNS has delivered since it was last asked."""
        found: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages"):
            found += [json.loads(message["Body"]) for message in messages]
            for message in messages:
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    async def launch(self, request: Mapping[str, Any]) -> Answer:
        """Start a run as the launcher does, but for ECS: under the caps of the run store."""
        self.asked.append(request)
        launches = self.world.launches[0]
        claim = a_claim(request["run_key"])
        asked = Asked(
            job=request["job"],
            run_key=request["run_key"],
            lease=claim.lease,
            scope_hash=claim.scope_hash,
            request={name: value for name, value in request.items() if name != "after"},
            restart=request.get("trigger") == "resume",
            after=request.get("after"),
        )
        answer = await launches.reserve(asked)
        if not isinstance(answer, Reserved):
            return answer
        await launches.placed(
            answer.launch, arn := f"arn:aws:ecs:eu-central-1:123456789012:task/batch/{answer.launch.id}"
        )
        return Launched(answer.launch, arn)


@asynccontextmanager
async def room(world: StoreWorld, aws: Aws, *replies: Reply, **changes: Any) -> AsyncIterator[Room]:
    """Open it; `changes` are of the settings."""
    with ExitStack() as opened:
        chat, datadog = opened.enter_context(slack(*(replies or (Reply(),)))), opened.enter_context(intake())
        topic, sqs, queue = _topic(aws)
        found = settings(
            {
                "SLACK_WEBHOOK_URL": f"{chat.url}/hook",
                "DD_API_KEY": KEY,
                "DD_API_URL": datadog.url,
                "DD_ENV": "test",
                "ALERTS_TOPIC": topic,
                "AWS_REGION": "eu-central-1",
            }
        )
        mask = Mask([KEY])
        books = Books(world.reader, world.marks[0], world.launches[0])
        doors = Doors(
            replace(found, **changes), mask, books, Teller(replace(found, **changes), books.marks, mask), _opened(world)
        )
        made = Room(world, doors, chat, datadog, sqs, queue)
        made.doors = replace(doors, launch=made.launch)
        yield made


async def begun(world: StoreWorld, run_key: str = "2026-11-24T02:00:00Z", **changes: Any) -> None:
    """Begin a run, commit a page of it, and leave it so."""
    await granted(world.stores[0], a_claim(run_key, **changes))
    await world.commit(world.stores[0], a_batch({7: "done", 8: "done"}))


def _opened(world: StoreWorld) -> Callable[[str], AbstractAsyncContextManager[Store]]:
    return lambda job: nullcontext(world.stores[-1])


def _topic(aws: Aws) -> tuple[str, Any, str]:
    name, sns, sqs = f"alerts-{secrets.token_hex(4)}", aws.client("sns"), aws.client("sqs")
    topic, queue = sns.create_topic(Name=name)["TopicArn"], sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, sqs, queue
