"""A message of an SQS queue as a record, and what is known of one that is held."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from worker.errors import Permanent
from worker.source import Failure


class Message(dict[str, Any]):
    """A message: `id`, `body` (its JSON, decoded), `text`, `attributes`, `sent_at`, `receives` (how often it was delivered).

    The body is decoded when it is first asked for. What is no JSON raises Permanent then: it fails its record, and no other.
    """

    def __missing__(self, name: str) -> Any:
        if name != "body":
            raise KeyError(name)
        try:
            self["body"] = msgspec.json.decode(self["text"])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Permanent(f"the message is no JSON ({error}): {self['text']!r:.100}", "not JSON") from None
        return self["body"]


@dataclass(slots=True)
class Held:
    """A message that is hidden from everybody else, for us, until a moment of the clock."""

    message: Message
    receipt: str
    until: float
    raw_attributes: Mapping[str, Any]
    finished: bool = False
    """Whether nothing is left to do but to delete it."""
    failure: Failure | None = None
    """How it failed, until the dead-letter queue has it."""


def message_of(raw: Mapping[str, Any]) -> Message:
    """Read what ReceiveMessage gives."""
    system = raw.get("Attributes", {})
    return Message(
        id=raw["MessageId"],
        text=raw.get("Body", ""),
        attributes={
            name: value.get("StringValue", value.get("BinaryValue"))
            for name, value in raw.get("MessageAttributes", {}).items()
        },
        sent_at=datetime.fromtimestamp(int(system.get("SentTimestamp", 0)) / 1000, UTC),
        receives=int(system.get("ApproximateReceiveCount", 1)),
    )
