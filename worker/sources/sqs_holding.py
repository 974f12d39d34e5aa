"""The messages that an attempt holds: hidden for as long as they are worked on, then deleted, buried or released."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.boto import Client
from worker.errors import Permanent, Transient
from worker.source import Failure
from worker.sources.sqs_batches import Entry, Refused, in_batches
from worker.sources.sqs_message import Held, Message, message_of

_RENEW = 3
"""Visibility is looked after so often before it would be over: a call that fails has another chance."""
_REMEMBERED = 10_000
_LONGEST_ERROR = 500
_ATTRIBUTES = 10
"""Attributes that a message may have (Amazon SQS message quotas)."""


class Holding:
    """What is held, by message id, and the queue's answers to what is asked for it."""

    def __init__(self, client: Client, url: str, dead_letters: str, visibility_s: int, log: logging.Logger) -> None:
        self._client, self._url, self._dead_letters, self._log = client, url, dead_letters, log
        self.visibility_s = visibility_s
        self._held: dict[str, Held] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self._clock = asyncio.get_running_loop().time

    def __len__(self) -> int:
        return len(self._held)

    def take(self, raw: Mapping[str, Any]) -> Message | None:
        """Hold a message that was delivered; give it unless it is known: then only its receipt handle is new."""
        held = self._held.get(raw["MessageId"])
        known = held is not None
        if held is None:
            held = Held(message_of(raw), "", 0, raw.get("MessageAttributes", {}))
            held.finished = known = held.message["id"] in self._deleted  # SQS delivers a deleted message now and then
            self._held[held.message["id"]] = held
        held.receipt, held.until = raw["ReceiptHandle"], self._clock() + self.visibility_s
        return None if known else held.message

    def find(self, ids: Collection[str]) -> list[Message]:
        """Give the messages with these ids that are held."""
        return [self._held[id_].message for id_ in ids if id_ in self._held]

    # --- hidden ---------------------------------------------------------------------------------------------------------

    async def keep_hidden(self) -> None:
        """Extend the visibility timeout of all that is held, again and again, before it is over."""
        while True:
            await asyncio.sleep(self.visibility_s / _RENEW)
            soon = self._clock() + self.visibility_s * (1 - 0.5 / _RENEW)
            due = [held for held in self._held.values() if held.until < soon]
            try:
                await self._hide(due, self.visibility_s)
            except Permanent as error:
                self._log.warning("messages cannot be kept hidden, and may be delivered again: %s", error)

    async def release(self) -> None:
        """Let go of everything: what is finished is deleted, the rest is there for the next attempt at once."""
        try:
            await self._delete()
        except (Transient, Permanent) as error:
            self._log.warning("finished messages may be delivered again: %s", error)
        await self._hide([held for held in self._held.values() if not held.finished], 0)

    async def _hide(self, messages: Sequence[Held], seconds: int) -> None:
        now = self._clock()
        entries = [{"ReceiptHandle": held.receipt, "VisibilityTimeout": seconds} for held in messages]
        refused = await self._batched("change_message_visibility_batch", self._url, entries)
        for place, held in enumerate(messages):
            if place not in refused:
                held.until = now + seconds
            elif not refused[place].passing:
                held.until = float("inf")  # it is ours no more; if it is delivered to us again, its receipt is renewed
                self._log.debug("message %s is not held any more: %s", held.message["id"], refused[place].why)

    # --- finished -------------------------------------------------------------------------------------------------------

    async def let_go(self, finished: Sequence[Message], failed: Sequence[Failure]) -> None:
        """Bury the failed ones and delete all. Raises Transient where the same has to be asked for again."""
        for message in finished:
            if held := self._held.get(message["id"]):
                held.finished = True
        for failure in failed:
            if (held := self._held.get(failure.record["id"])) and not held.finished:
                held.failure = failure
        await self._bury()
        await self._delete()

    async def _bury(self) -> None:
        """Send what failed to the dead-letter queue: from then on nothing is left to do but to delete it."""
        dead = [(held, held.failure) for held in self._held.values() if held.failure is not None]
        refused = await self._batched(
            "send_message_batch", self._dead_letters, [_letter(held, failure) for held, failure in dead]
        )
        for place, (held, _) in enumerate(dead):
            if place not in refused:
                held.finished, held.failure = True, None
            elif not refused[place].passing:  # too large with its attributes: SQS moves it after maxReceiveCount
                held.failure = None
                said = "message %s cannot be sent to the dead-letter queue and is delivered again: %s"
                self._log.warning(said, held.message["id"], refused[place].why)
        _again(refused)

    async def _delete(self) -> None:
        finished = [held for held in self._held.values() if held.finished]
        entries = [{"ReceiptHandle": held.receipt} for held in finished]
        refused = await self._batched("delete_message_batch", self._url, entries)
        for place, held in enumerate(finished):
            if place in refused and refused[place].passing:
                continue
            if place in refused:
                said = "message %s cannot be deleted and may be delivered again: %s"
                self._log.warning(said, held.message["id"], refused[place].why)
            del self._held[held.message["id"]]
            self._deleted[held.message["id"]] = None
        while len(self._deleted) > _REMEMBERED:
            self._deleted.popitem(last=False)
        _again(refused)

    async def _batched(self, operation: str, url: str, entries: Sequence[Entry]) -> dict[int, Refused]:
        return {refused.place: refused for refused in await in_batches(self._client, operation, url, entries)}


def _letter(held: Held, failure: Failure) -> Entry:
    """Make the dead-letter queue's copy of a message: as it was, with what went wrong."""
    said = {"ErrorType": failure.type, "ErrorMessage": failure.message or failure.type, "MessageId": held.message["id"]}
    kept = [(name, value) for name, value in held.raw_attributes.items() if name not in said]
    attributes = dict(kept[: _ATTRIBUTES - len(said)]) | {
        name: {"DataType": "String", "StringValue": _allowed(value)} for name, value in said.items()
    }
    return {"MessageBody": held.message["text"], "MessageAttributes": attributes}


def _allowed(text: str) -> str:
    """Give text that a message may have: SendMessage refuses control characters."""
    return "".join(char if char.isprintable() else " " for char in text[:_LONGEST_ERROR])


def _again(refused: Mapping[int, Refused]) -> None:
    passing = [each.why for each in refused.values() if each.passing]
    if passing:
        raise Transient(f"SQS refused {len(passing)} messages for now: {passing[0]}")
