"""What reading and writing DynamoDB have in common: its tables, its expressions, its batches, and what it charges."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from worker.attributes import to_item
from worker.boto import Client
from worker.errors import Faults, Permanent, Throttled
from worker.job import Run

T = TypeVar("T")

_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Between the tries of what DynamoDB left unprocessed; then the engine pauses everybody."""
_TOKEN = re.compile(r"(?<![\w.#:])[#:]?\w+")


async def described(client: Client, table: str) -> Any:
    """Describe a table. Raises Faults where it is not there, or may not be looked at."""
    try:
        found = (await client.call("describe_table", TableName=table))["Table"]
    except Permanent as error:
        if error.type == "ResourceNotFoundException":
            raise Faults([f"there is no DynamoDB table {table!r} in this account and region"]) from error
        raise Faults([f"the DynamoDB table {table!r} cannot be described: {error}"]) from error
    if found["TableStatus"] not in ("ACTIVE", "UPDATING"):
        raise Faults([f"the DynamoDB table {table!r} is {found['TableStatus']}, not ACTIVE"])
    return found


def key_names(schema: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Give the key attributes of a table or an index, the partition key first."""
    return tuple(part["AttributeName"] for part in sorted(schema, key=lambda part: part["KeyType"]))


def expressions(names: Mapping[str, str], values: Mapping[str, Any], **texts: str | None) -> dict[str, Any]:
    """Give a request's expressions with the names and values that they use: DynamoDB refuses those that are not used.

    Raises ValueError for a name or a value that is used and not given.
    """
    said = {name: text for name, text in texts.items() if text}
    used = {token for text in said.values() for token in _TOKEN.findall(text)}
    if unknown := sorted(token for token in used - {*names, *values} if token[0] in "#:"):
        raise ValueError(f"{', '.join(unknown)} in {', '.join(map(repr, said.values()))} has neither name nor value")
    their_names = {token: name for token, name in names.items() if token in used}
    their_values = {token: value for token, value in values.items() if token in used}
    return (
        said
        | ({"ExpressionAttributeNames": their_names} if their_names else {})
        | ({"ExpressionAttributeValues": to_item(their_values)} if their_values else {})
    )


def attributes_in(text: str, names: Mapping[str, str]) -> set[str]:
    """Give the attributes that an expression names, and the words that could be one."""
    return {names.get(token, token) for token in _TOKEN.findall(text)}


async def until_processed(send: Callable[[Sequence[T]], Awaitable[Sequence[T]]], batch: Sequence[T]) -> None:
    """Send a batch, then what `send` says was left of it, until nothing is. Raises Throttled when that does not come."""
    for pause in _PAUSES_S:
        batch = await send(batch)
        if not batch:
            return
        await asyncio.sleep(pause)
    raise Throttled(f"DynamoDB left {len(batch)} of a batch unprocessed, {len(_PAUSES_S)} times")


class Capacity:
    """Count the capacity units that a run consumes, and hold to so many a second, on the average, where that is said."""

    def __init__(self, run: Run[Any], unit: str, per_second: float | None = None) -> None:
        if per_second is not None and per_second <= 0:
            raise ValueError(f"{unit} must be more than 0 a second, not {per_second!r}")
        self._counters, self._unit, self._per_second = run.counters, unit, per_second
        self._clear_at = 0.0  # when what was consumed is paid off
        self._rest = 0.0
        self._each = 1.0

    def share(self, parts: int) -> None:
        """Hold to one of so many parts of the limit."""
        self._per_second = None if self._per_second is None else self._per_second / parts

    def affordable(self, items: int) -> int:
        """Give how many of these items a request may look at to stay about within a second's units."""
        return items if self._per_second is None else max(1, min(items, int(self._per_second / self._each)))

    async def wait(self) -> None:
        """Wait until earlier requests are paid off."""
        if self._per_second is not None:
            await asyncio.sleep(max(0.0, self._clear_at - asyncio.get_running_loop().time()))

    def charge(self, answer: Mapping[str, Any], items: int = 0) -> None:
        """Count what an answer says that it consumed, for so many items."""
        consumed = answer.get("ConsumedCapacity") or []
        parts = consumed if isinstance(consumed, list) else [consumed]
        units = float(sum(part.get("CapacityUnits", 0.0) for part in parts))
        whole, self._rest = divmod(self._rest + units, 1.0)
        self._counters[self._unit] += int(whole)
        if items and units:
            self._each = units / items
        if self._per_second is not None:
            self._clear_at = max(self._clear_at, asyncio.get_running_loop().time()) + units / self._per_second
