"""An SQS queue to be drained."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Self

from aws import Aws
from queues import Queues, a_run

from worker.source import Record
from worker.sources.sqs import SqsQueue


class SqsWorld:
    """A queue whose messages have the ids as their bodies."""

    lacks = {  # noqa: RUF012 - what a world says of itself
        "delete": "a message goes when it was received",
        "change": "a message never changes",
        "records": "a queue finds no message by its id",
    }

    def __init__(self, fast_sqs: Aws) -> None:
        self._queues = Queues(fast_sqs)
        self._runs = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._runs.aclose()

    async def source(self) -> SqsQueue:
        """Give another source; what the one before held is released."""
        await self._runs.aclose()
        run = a_run()
        self._runs.push_async_callback(run.resources.aclose)
        return await self._queues.source(run)

    async def insert(self, ids: Iterable[int]) -> None:
        """Send messages."""
        self._queues.send(map(str, ids))

    async def delete(self, ids: Iterable[int]) -> None:
        """Do nothing: it is lacking."""

    async def change(self, ids: Iterable[int]) -> None:
        """Do nothing: it is lacking."""

    def id(self, record: Record) -> int:
        """Give the id in the body."""
        return int(record["body"])

    def version(self, record: Record) -> int:
        """Give the only version there is."""
        return 0


WORLDS = {"sqs": SqsWorld}
