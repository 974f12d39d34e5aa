"""Drain an SQS queue: for work that comes by events, never for what is scheduled.

A message is hidden from others while it is held, deleted after the page commit that has its outcome, and there again at once
if the attempt ends before. If the attempt is killed, it is there again after the queue's visibility timeout.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from worker.boto import Client
from worker.job import Run
from worker.source import Failure, JsonKey, Key, Page, Promise
from worker.sources.sqs_batches import MOST
from worker.sources.sqs_checks import Queue, looked_at
from worker.sources.sqs_holding import Holding
from worker.sources.sqs_message import Message

_AT_ONCE = 8
"""Receives on their way at once, while answers are not empty."""
_EMPTY_ANSWERS = 2
"""So many empty answers in a row mean that the queue is empty."""
_LONGEST_WAIT_S = 20
_MOST_IN_A_DRY_RUN = 1_000
_CLOSING_S = 1.2
"""So long may each of the two last things take: together less than what the stop plan keeps for the unplanned."""
_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
_ON: Key = ("on",)
"""The position behind every page but the last: a queue has none."""


def drain(run: Run[Any], queue_url: str, *, for_s: float = 600, wait_s: int = 1) -> "SqsQueue":
    """Read a standard queue until it is empty, or for so many seconds.

    It is empty when receives that wait `wait_s` seconds for messages (at most 20; with 0 some may be passed over) have none.
    A record has `id`, `body` (the decoded JSON), `text`, `attributes`, `sent_at` and `receives`; its key is the message id. A
    failed one goes to the dead-letter queue that the queue's RedrivePolicy names, with the attributes ErrorType, ErrorMessage
    and MessageId. `max_age` does not apply: what is held is current. A dry run reads at most 1,000 messages and releases them;
    their receive counts go up by one, as anybody's look at a message does.
    """
    if not 0 <= wait_s <= _LONGEST_WAIT_S or for_s <= 0:
        raise ValueError(
            f"for_s is more than 0 and wait_s 0 to {_LONGEST_WAIT_S} seconds, not {for_s!r} and {wait_s!r}"
        )
    return SqsQueue(run, queue_url, for_s, wait_s)


class SqsQueue:
    """A queue that is drained."""

    promise = Promise.QUEUE
    order = "message id"

    def __init__(self, run: Run[Any], url: str, for_s: float, wait_s: int) -> None:
        self._run, self._url, self._for_s, self._wait_s = run, url, for_s, wait_s
        self._client = Client(run, "sqs")
        self._opened = False
        self._queue = Queue()
        self._holding: Holding
        self._ready: list[Message] = []
        self._polls: dict[asyncio.Task[None], int] = {}  # receives on their way, and how many messages they ask for
        self._empty = 0
        self._since: float | None = None

    def key(self, record: Message) -> Key:
        """Give the message id."""
        return (record["id"],)

    def encode(self, key: Key) -> JsonKey:
        """Give the message id."""
        return list(key)

    def decode(self, key: JsonKey) -> Key:
        """Give the message id."""
        return tuple(key)

    def redrive(self) -> str:
        """Give the command that delivers failed messages again; the destination is said, for SQS did not move them itself."""
        arns = f"--source-arn {self._queue.dead_arn} --destination-arn {self._queue.arn}"
        return f"aws sqs start-message-move-task {arns}"

    async def check(self) -> list[str]:
        """Look whether the queue is there, fit for use, and ours to work on; open what the attempt needs of it."""
        if not self._opened:
            await self._run.enter(self._client)
            self._opened = True
        queue, faults = await looked_at(self._client, self._url, self._run)
        if not faults:
            self._queue = queue
            self._holding = Holding(self._client, self._url, queue.dead_letters, queue.visibility_s, self._run.log)
            hiding = asyncio.create_task(self._holding.keep_hidden(), name="visibility")
            self._run.resources.push_async_callback(self._close, hiding)
        return faults

    async def page(self, after: Key | None, size: int) -> Page:
        """Give what receives have brought, as soon as there is some."""
        if self._since is None:
            self._since = asyncio.get_running_loop().time()
        self._poll(size)
        while not self._ready:
            if self._polls:
                await asyncio.wait(self._polls, return_when=asyncio.FIRST_COMPLETED)
            elif not await self._others_hold_some():
                return Page((), None)
            self._poll(size)
        page, self._ready = self._ready[:size], self._ready[size:]
        return Page(page, _ON)

    async def count(self, after: Key | None) -> int | None:
        """Give about how many messages there are, with those that are held."""
        return len(self._holding) + (await self._counts())[0]

    async def records(self, keys: Sequence[Key]) -> Sequence[Message]:
        """Give those that are held: a queue finds no message by its id."""
        return self._holding.find([key[0] for key in keys])

    async def acknowledge(self, finished: Sequence[Message], failed: Sequence[Failure]) -> None:
        """Delete messages, the failed ones once the dead-letter queue has them; a dry run goes on holding them."""
        if not self._run.dry_run:
            await self._holding.let_go(finished, failed)

    # --- receiving ------------------------------------------------------------------------------------------------------

    def _poll(self, size: int) -> None:
        """Keep receives on their way: several, or one once an answer was empty; never for more than was asked for.

        Raises what a receive has raised, if none has brought a message.
        """
        over = [poll for poll in self._polls if poll.done()]
        for poll in over:
            del self._polls[poll]
        if (errors := [error for poll in over if (error := poll.exception())]) and not self._ready:
            raise errors[0]
        room = size - len(self._ready) - sum(self._polls.values())
        if self._run.dry_run:
            room = min(room, _MOST_IN_A_DRY_RUN - len(self._holding) - sum(self._polls.values()))
        while room > 0 and not self._over and len(self._polls) < (1 if self._empty else _AT_ONCE):
            most = min(MOST, room)
            self._polls[asyncio.create_task(self._receive(most), name="receive")] = most
            room -= most

    @property
    def _over(self) -> bool:
        return self._empty >= _EMPTY_ANSWERS or self._left_s <= 0

    @property
    def _left_s(self) -> float:
        assert self._since is not None, "the first page sets it"
        return self._since + self._for_s - asyncio.get_running_loop().time()

    async def _receive(self, most: int) -> None:
        answer = await self._client.call(
            "receive_message",
            QueueUrl=self._url,
            MaxNumberOfMessages=most,
            WaitTimeSeconds=int(min(self._wait_s, self._left_s)),
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp", "ApproximateReceiveCount"],
        )
        delivered = answer.get("Messages", ())
        self._empty = 0 if delivered else self._empty + 1
        self._ready += [message for raw in delivered if (message := self._holding.take(raw))]

    async def _others_hold_some(self) -> bool:
        """Tell whether to wait for what an attempt that was killed held: it is hidden for one visibility timeout at most."""
        assert self._since is not None, "the first page sets it"
        waited = self._for_s - self._left_s
        longest = self._holding.visibility_s + 1
        if self._run.attempt == 1 or self._run.dry_run or self._left_s <= 0 or waited > longest:
            return False
        if sum(await self._counts()) <= len(self._holding):
            return False
        self._empty -= 1  # another receive may be made
        return True

    async def _counts(self) -> tuple[int, int]:
        """Give about how many messages are visible, and how many are hidden."""
        answer = await self._client.call("get_queue_attributes", QueueUrl=self._url, AttributeNames=list(_COUNTS))
        visible, hidden = (int(answer["Attributes"][name]) for name in _COUNTS)
        return visible, hidden

    async def _close(self, hiding: "asyncio.Task[None]") -> None:
        """Let go of everything, within bounds: what is not released is there again after its visibility timeout."""
        hiding.cancel()
        if self._polls:
            await asyncio.wait(self._polls, timeout=_CLOSING_S)  # what they were given is released, too
        for poll in self._polls:
            poll.cancel()
        await asyncio.gather(hiding, *self._polls, return_exceptions=True)
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self._holding.release()
        except TimeoutError:
            self._run.log.warning("%d messages were not released: they are there again later", len(self._holding))
