"""SQS queues with their dead-letter queues on the local AWS, and what is to be seen of them."""

import json
import secrets
from collections.abc import Iterable
from typing import Any

from aws import Aws

from worker.job import Run
from worker.limits import Limits
from worker.scope import Scope
from worker.sources.sqs import SqsQueue, drain


class Queues:
    """A fresh queue and its dead-letter queue."""

    def __init__(self, aws: Aws, visibility_s: int = 30, **attributes: str) -> None:
        self.sqs = aws.client("sqs")
        name = secrets.token_hex(6)
        self.dead_letters = self.sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
        policy = {"deadLetterTargetArn": self._about(self.dead_letters)["QueueArn"], "maxReceiveCount": 5}
        about = {"RedrivePolicy": json.dumps(policy), "VisibilityTimeout": str(visibility_s), **attributes}
        self.url = self.sqs.create_queue(QueueName=name, Attributes=about)["QueueUrl"]

    def send(self, texts: Iterable[str], attributes: dict[str, Any] | None = None) -> None:
        """Send messages."""
        texts = list(texts)
        for first in range(0, len(texts), 10):
            entries = [
                {"Id": str(place), "MessageBody": text, "MessageAttributes": attributes or {}}
                for place, text in enumerate(texts[first : first + 10])
            ]
            assert len(self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)["Successful"]) == len(entries)

    def visible(self) -> int:
        """Count what could be received."""
        return int(self._about(self.url)["ApproximateNumberOfMessages"])

    def hidden(self) -> int:
        """Count what somebody holds."""
        return int(self._about(self.url)["ApproximateNumberOfMessagesNotVisible"])

    def buried(self) -> list[dict[str, Any]]:
        """Take all messages out of the dead-letter queue."""
        return self.taken(self.dead_letters)

    def taken(self, url: str) -> list[dict[str, Any]]:
        """Take all messages out of a queue."""
        found: list[dict[str, Any]] = []
        while messages := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        ).get("Messages"):
            found += messages
            entries = [
                {"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]} for place, each in enumerate(messages)
            ]
            self.sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        return found

    async def source(self, run: Run[Any] | None = None, *, wait_s: int = 0, **options: Any) -> SqsQueue:
        """Give a source that was checked; closing the run's resources ends it."""
        source = drain(run or a_run(), self.url, wait_s=wait_s, **options)
        assert await source.check() == []
        return source

    def _about(self, url: str) -> dict[str, str]:
        about: dict[str, str] = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return about


def a_run(**about: Any) -> Run[Any]:
    """Give a run whose records may take a second."""
    return Run("job", "key", Scope(), limits=Limits(record_timeout=1), **about)
