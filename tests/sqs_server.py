"""An SQS that is fast and fails on demand, in this process or in one of its own: moto's takes time by the square of its messages.

It speaks the AWS JSON protocol as far as the worker does; tests/test_sqs_server.py holds it to what moto answers.
"""

import asyncio
import heapq
import itertools
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

ACCOUNT = "123456789012"
ARN = f"arn:aws:sqs:eu-central-1:{ACCOUNT}:"

Refusing = Callable[[str, dict[str, Any]], tuple[str, bool] | None]
"""Says with what code an entry of a batch is refused, and whether that is the sender's fault."""


class Refusal(Exception):
    """An error answer."""

    def __init__(self, code: str) -> None:
        super().__init__(code)


class Kept:
    """A message."""

    def __init__(self, number: int, entry: dict[str, Any]) -> None:
        self.attributes: dict[str, Any] = entry.get("MessageAttributes", {})
        self.id, self.body = f"message-{number}", entry["MessageBody"]
        self.receives, self.receipt, self.hidden_until = 0, "", 0.0


class SqsQueue:
    """The messages of a queue."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = {"VisibilityTimeout": "30"} | attributes
        self.kept: dict[str, Kept] = {}
        self.visible: deque[Kept] = deque()
        self.hidden: list[tuple[float, int, Kept]] = []
        self.arrived = asyncio.Event()
        self.order = itertools.count()

    def show(self, kept: Kept) -> None:
        """Let a message be received."""
        self.visible.append(kept)
        self.arrived.set()

    def hide(self, kept: Kept, seconds: float) -> None:
        """Hide a message, or show it."""
        kept.hidden_until = asyncio.get_running_loop().time() + seconds
        if seconds:
            heapq.heappush(self.hidden, (kept.hidden_until, next(self.order), kept))
        else:
            self.show(kept)

    def ripen(self) -> float:
        """Show what has been hidden for long enough; give the moment of the next."""
        now = asyncio.get_running_loop().time()
        while self.hidden and self.hidden[0][0] <= now:
            until, _, kept = heapq.heappop(self.hidden)
            if kept.hidden_until == until and kept.id in self.kept:
                self.show(kept)
        return self.hidden[0][0] if self.hidden else float("inf")


class Sqs:
    """Queues by their names, and how their server fails."""

    def __init__(self) -> None:
        self.queues: dict[str, SqsQueue] = {}
        self.calls: Counter[str] = Counter()
        self.denied: set[str] = set()
        self.longest_wait_s = 20.0
        self.refuse: Refusing = lambda operation, entry: None
        self.url = ""
        self._numbers = itertools.count(1)

    async def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer a call. Raises Refusal."""
        self.calls[operation] += 1
        if operation in self.denied:
            raise Refusal("AccessDenied")
        if operation == "CreateQueue":
            about = asked.get("Attributes", {}) | {"QueueArn": ARN + asked["QueueName"]}
            self.queues[asked["QueueName"]] = SqsQueue(about)
        if operation in ("CreateQueue", "GetQueueUrl"):
            return {"QueueUrl": f"{self.url}/{ACCOUNT}/{self._named(asked['QueueName']) and asked['QueueName']}"}
        queue = self._named(asked["QueueUrl"].rpartition("/")[2])
        if operation == "GetQueueAttributes":
            queue.ripen()
            about = {"ApproximateNumberOfMessages": str(len(queue.visible))}
            about["ApproximateNumberOfMessagesNotVisible"] = str(len(queue.kept) - len(queue.visible))
            return {"Attributes": queue.attributes | about}
        if operation == "ReceiveMessage":
            return {"Messages": await self._receive(queue, asked)}  # moto, and SQS, leave an empty list out
        return self._batch(queue, operation, asked["Entries"])

    def _named(self, name: str) -> SqsQueue:
        if name not in self.queues:
            raise Refusal("AWS.SimpleQueueService.NonExistentQueue")
        return self.queues[name]

    async def _receive(self, queue: SqsQueue, asked: dict[str, Any]) -> list[dict[str, Any]]:
        until = asyncio.get_running_loop().time() + min(self.longest_wait_s, asked.get("WaitTimeSeconds", 0))
        next_one = queue.ripen()
        while not queue.visible and (left := until - asyncio.get_running_loop().time()) > 0:
            queue.arrived.clear()
            try:
                async with asyncio.timeout(min(left, next_one - asyncio.get_running_loop().time())):
                    await queue.arrived.wait()
            except TimeoutError:
                pass
            next_one = queue.ripen()
        received = [queue.visible.popleft() for _ in range(min(asked["MaxNumberOfMessages"], len(queue.visible)))]
        for kept in received:
            kept.receives += 1
            kept.receipt = f"{kept.id}/{kept.receives}"
            queue.hide(kept, float(queue.attributes["VisibilityTimeout"]))
        return [_delivered(kept) for kept in received]

    def _batch(self, queue: SqsQueue, operation: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
        if not entries:
            raise Refusal("AWS.SimpleQueueService.EmptyBatchRequest")
        done, failed = [], []
        for entry in entries:
            refused = self.refuse(operation, entry) or self._do(queue, operation, entry)
            if refused:
                failed.append({"Id": entry["Id"], "Code": refused[0], "SenderFault": refused[1]})
            else:
                done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}

    def _do(self, queue: SqsQueue, operation: str, entry: dict[str, Any]) -> tuple[str, bool] | None:
        if operation == "SendMessageBatch":
            kept = Kept(next(self._numbers), entry)
            queue.kept[kept.id] = kept
            queue.show(kept)
            return None
        kept_ = queue.kept.get(entry["ReceiptHandle"].rpartition("/")[0])
        if kept_ is None or kept_.receipt != entry["ReceiptHandle"]:
            return ("ReceiptHandleIsInvalid", True)
        if operation == "DeleteMessageBatch":
            del queue.kept[kept_.id]
        else:
            queue.hide(kept_, entry["VisibilityTimeout"])
        return None


def _delivered(kept: Kept) -> dict[str, Any]:
    about = {"ApproximateReceiveCount": str(kept.receives), "SentTimestamp": "1795000000000"}
    message = {"MessageId": kept.id, "ReceiptHandle": kept.receipt, "Body": kept.body, "Attributes": about}
    return message | ({"MessageAttributes": kept.attributes} if kept.attributes else {})


@asynccontextmanager
async def serving(sqs: Sqs) -> AsyncIterator[str]:
    """Serve it on a free port."""
    calls: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls[asyncio.current_task()] = writer
        try:
            while True:
                writer.write(await _answered(sqs, reader))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            del calls[asyncio.current_task()]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sqs.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield sqs.url
    server.close()
    tasks = list(filter(None, calls))
    for writer in calls.values():
        writer.transport.abort()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _answered(sqs: Sqs, reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = await reader.readexactly(int(headers["content-length"]))
    operation = next(name for name in OPERATIONS if name.lower() == headers["x-amz-target"].partition(".")[2])
    status, more, answer = "200 OK", "", b""
    try:
        answer = msgspec.json.encode(await sqs.answer(operation, msgspec.json.decode(body)))
    except Refusal as refusal:
        status, more = "400 Bad Request", f"x-amzn-query-error: {refusal};Sender\r\n"
        answer = msgspec.json.encode({"__type": f"com.amazonaws.sqs#{refusal}", "message": "refused"})
    said = (
        f"HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\n{more}content-length: {len(answer)}\r\n\r\n"
    )
    return said.encode() + answer


OPERATIONS = (
    "CreateQueue",
    "GetQueueUrl",
    "GetQueueAttributes",
    "ReceiveMessage",
    "SendMessageBatch",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
)


async def _until_stdin_ends() -> None:
    async with serving(Sqs()) as url:
        print(url.rpartition(":")[2], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_until_stdin_ends())
