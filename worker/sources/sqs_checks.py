"""Look at a queue before it is drained: is it there, fit for use, and ours to work on."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from worker.boto import Client
from worker.errors import Permanent
from worker.job import Run
from worker.sources.sqs_batches import Entry


@dataclass(slots=True)
class Queue:
    """A queue and its dead-letter queue."""

    arn: str = "…"
    visibility_s: int = 0
    dead_arn: str = "…"
    dead_letters: str = ""
    """The URL of the dead-letter queue."""
    attributes: dict[str, str] = field(default_factory=dict)


async def looked_at(client: Client, url: str, run: Run[Any]) -> tuple[Queue, list[str]]:
    """Give what there is to know of a queue, and what keeps the run from draining it."""
    try:
        answer = await client.call("get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
    except Permanent as error:
        return Queue(), [
            f"the queue {url!r} cannot be read: {error}; is its URL right, and sqs:GetQueueAttributes allowed?"
        ]
    about = answer["Attributes"]
    queue = Queue(about["QueueArn"], int(about["VisibilityTimeout"]), attributes=about)
    faults = [*await _find_dead_letters(client, queue), *_unfit(queue, run.limits.record_timeout)]
    return queue, faults or await _forbidden(client, url, queue, run.dry_run)


async def _find_dead_letters(client: Client, queue: Queue) -> list[str]:
    policy = queue.attributes.get("RedrivePolicy")
    if not policy:
        return [
            f"{queue.arn} has no dead-letter queue: a message that always fails would come back for ever; "
            f"set its RedrivePolicy (deadLetterTargetArn, maxReceiveCount)"
        ]
    queue.dead_arn = msgspec.json.decode(policy)["deadLetterTargetArn"]
    owner, name = queue.dead_arn.split(":")[-2:]
    try:
        found = await client.call("get_queue_url", QueueName=name, QueueOwnerAWSAccountId=owner)
    except Permanent as error:
        return [f"the dead-letter queue {queue.dead_arn} cannot be found: {error}; is sqs:GetQueueUrl allowed?"]
    queue.dead_letters = found["QueueUrl"]
    return []


def _unfit(queue: Queue, record_timeout: float) -> list[str]:
    faults = []
    if queue.attributes.get("FifoQueue") == "true":
        faults.append(f"{queue.arn} is a FIFO queue, whose order would not be kept: records are worked on at once")
    if queue.visibility_s < record_timeout:
        faults.append(
            f"{queue.arn} hides messages for {queue.visibility_s} s, but a record may take {record_timeout:g} s: "
            f"set its VisibilityTimeout to that at least, or lower record_timeout"
        )
    return faults


async def _forbidden(client: Client, url: str, queue: Queue, dry_run: bool) -> list[str]:
    """Try what will be needed on a message that does not exist; a dry run needs to change no more than visibility."""
    nothing = {"Id": "0", "ReceiptHandle": "none"}
    tries: list[tuple[str, str, list[Entry]]] = [
        ("change_message_visibility_batch", url, [nothing | {"VisibilityTimeout": 0}])
    ]
    if not dry_run:
        tries += [("delete_message_batch", url, [nothing]), ("send_message_batch", queue.dead_letters, [])]
    faults = []
    for operation, target, entries in tries:
        try:
            await client.call(operation, QueueUrl=target, Entries=entries)
        except Permanent as error:
            if "denied" in error.type.lower():
                faults.append(f"not allowed on {target!r}: {error}")
    return faults
