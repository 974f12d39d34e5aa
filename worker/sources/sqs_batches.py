"""SQS's batch calls: ten entries each, several calls at once; a batch may fail in parts."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from worker.boto import Client
from worker.errors import Permanent, Transient

Entry = dict[str, Any]

MOST = 10
"""Entries that a batch may have; also the messages that a receive may give."""
_LARGEST = 200_000
"""Bytes that a batch may have: SQS took 262,144 for years, attributes and all; one that is larger goes alone."""
_AT_ONCE = 8


class Refused(NamedTuple):
    """An entry that failed: its place, why, and whether another try could end otherwise."""

    place: int
    why: str
    passing: bool


async def in_batches(client: Client, operation: str, queue_url: str, entries: Sequence[Entry]) -> list[Refused]:
    """Send entries, without their `Id`s; give those that failed.

    A call that fails altogether fails its entries. Raises Permanent where that is for no fault of theirs and will not pass.
    """
    numbered = [{"Id": str(place), **entry} for place, entry in enumerate(entries)]
    slots = asyncio.Semaphore(_AT_ONCE)

    async def send(batch: list[Entry]) -> list[Refused]:
        async with slots:
            try:
                answer = await client.call(operation, QueueUrl=queue_url, Entries=batch)
            except Transient as error:
                return [Refused(int(entry["Id"]), str(error), True) for entry in batch]
            except Permanent as error:
                if not error.type.endswith("TooLong"):
                    raise
                return [Refused(int(entry["Id"]), str(error), False) for entry in batch]
        return [
            Refused(int(entry["Id"]), f"{entry['Code']}: {entry.get('Message', '')}", not entry["SenderFault"])
            for entry in answer.get("Failed", ())
        ]

    answers = await asyncio.gather(*map(send, _batches(numbered)), return_exceptions=True)
    if errors := [answer for answer in answers if isinstance(answer, BaseException)]:
        raise errors[0]
    return [refused for answer in answers if not isinstance(answer, BaseException) for refused in answer]


def _batches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for entry in entries:
        weight = len(msgspec.json.encode(entry))
        if batch and (len(batch) == MOST or size + weight > _LARGEST):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += weight
    if batch:
        yield batch
