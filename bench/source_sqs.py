"""SQS: eight loops that receive ten messages and delete them, against `sqs.drain`; over the fast SQS of the tests."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiobotocore.session import get_session

from worker.job import Run
from worker.source import Source
from worker.sources import sqs

_SERVER = Path(__file__).parent.parent / "tests" / "sqs_server.py"
_AT_ONCE = 8
_POLICY = '{"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:123456789012:dead"}'


class Queue:
    """A queue with its dead-letter queue."""

    def __init__(self, client: Any, url: str) -> None:
        self._client, self._url = client, url

    async def fill(self, records: int) -> None:
        """Send so many messages, about as large as a webhook."""
        body = '{"url": "https://example.com/hook", "payload": {"type": "order.paid", "order": 12345678}}'
        entries = [{"Id": str(number), "MessageBody": body} for number in range(10)]
        for _ in range(records // 10):
            await self._client.send_message_batch(QueueUrl=self._url, Entries=entries)

    def source(self, run: Run[Any]) -> Source:
        """Drain it; nothing is waited for."""
        return sqs.drain(run, self._url, wait_s=0)

    async def bare(self) -> int:
        """Receive and delete until it is empty."""
        return sum(await asyncio.gather(*(self._loop() for _ in range(_AT_ONCE))))

    async def _loop(self) -> int:
        read = 0
        while messages := (
            await self._client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        ).get("Messages"):
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]} for place, message in enumerate(messages)
            ]
            await self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            read += len(messages)
        return read


@asynccontextmanager
async def comparison() -> AsyncIterator[Queue]:
    """Start the server, in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(sys.executable, _SERVER, stdin=pipe, stdout=pipe)
    assert server.stdout is not None
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{int(await server.stdout.readline())}"
    try:
        async with get_session().create_client("sqs") as client:
            await client.create_queue(QueueName="dead")
            made = await client.create_queue(QueueName="hooks", Attributes={"RedrivePolicy": _POLICY})
            yield Queue(client, made["QueueUrl"])
    finally:
        server.kill()
        await server.wait()
