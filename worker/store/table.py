"""One DynamoDB table as the run store uses it: items by key, written on conditions, read consistently."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias

from worker.boto import Client
from worker.errors import Permanent, Throttled, Transient
from worker.job import Run
from worker.scope import Scope

Item: TypeAlias = dict[str, Any]
"""Text, numbers, truth and bytes by name; what is None or empty is not there."""

_ANSWER_S = 5.0
"""So long may an answer take: a holder that waits for longer could lose its lease while it waits."""
_AT_ONCE = 16
_PAGE_OF_KEYS, _PAGE_OF_DELETES = 100, 25


class Table:
    """Get, put and update single items; a write whose condition does not hold gives False."""

    def __init__(self, name: str, purpose: str) -> None:
        self.name = name
        # A run of its own, which is never dry: a dry run, too, is recorded.
        self._client = Client(Run(purpose, "run store", Scope()), "dynamodb")
        self._opening, self._is_open = asyncio.Lock(), False
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._is_open:
            await self._client.__aexit__(None, None, None)

    async def get(self, pk: str, sk: str) -> Item | None:
        """Read one item."""
        answer = await self.call("get_item", Key=_key(pk, sk), ConsistentRead=True)
        return plain(answer["Item"]) if "Item" in answer else None

    async def put(self, item: Item, expect: Mapping[str, Any] | None = None) -> bool:
        """Write a whole item; `expect` gives values that the one in its place must have, None for no such attribute."""
        return await self._write("put_item", {"Item": typed(item)}, _Expression(expect or {}))

    async def update(self, pk: str, sk: str, changes: Mapping[str, Any], expect: Mapping[str, Any]) -> bool:
        """Change an item that is as expected, and count its revision on; None takes an attribute away."""
        expression = _Expression(expect)
        text = expression.update(changes, "revision")
        return await self._write("update_item", {"Key": _key(pk, sk), "UpdateExpression": text}, expression)

    async def _write(self, operation: str, arguments: Mapping[str, Any], expression: "_Expression") -> bool:
        try:
            await self.call(operation, **arguments, **expression.arguments())
        except Permanent as error:
            if error.type == "ConditionalCheckFailedException":
                return False
            raise
        return True

    async def find(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """Read many items by their keys; those that are there."""
        found: dict[tuple[str, str], Item] = {}
        for start in range(0, len(keys), _PAGE_OF_KEYS):
            asked = {"Keys": [_key(*key) for key in keys[start : start + _PAGE_OF_KEYS]], "ConsistentRead": True}
            while asked:
                answer = await self.call("batch_get_item", RequestItems={self.name: asked}, TableName=None)
                items = [plain(item) for item in answer["Responses"].get(self.name, ())]
                found |= {(item["pk"], item["sk"]): item for item in items}
                asked = _rest(answer.get("UnprocessedKeys", {}).get(self.name), bool(items))
        return found

    async def delete(self, keys: Sequence[tuple[str, str]]) -> None:
        """Delete items."""
        for start in range(0, len(keys), _PAGE_OF_DELETES):
            asked = [{"DeleteRequest": {"Key": _key(*key)}} for key in keys[start : start + _PAGE_OF_DELETES]]
            while asked:
                answer = await self.call("batch_write_item", RequestItems={self.name: asked}, TableName=None)
                left = answer.get("UnprocessedItems", {}).get(self.name) or []
                asked = _rest(left, len(left) < len(asked))

    async def query(
        self,
        equal: tuple[str, str],
        *,
        index: str | None = None,
        descending: bool = False,
        start: Item | None = None,
        most: int | None = None,
        **between: tuple[str, str],
    ) -> AsyncIterator[list[Item]]:
        """Read the pages of items with this value of the hash key, and with the range key within bounds: `sk=("a", "b")`.

        `start` is an item's keys, behind which they begin; `most` how many items a page has at most.
        """
        expression = _Expression({})
        text = f"{expression.name(equal[0])} = {expression.value(equal[1])}"
        for name, (low, high) in between.items():
            text += f" AND {expression.name(name)} BETWEEN {expression.value(low)} AND {expression.value(high)}"
        asked: dict[str, Any] = {"KeyConditionExpression": text, "ScanIndexForward": not descending}
        asked |= expression.arguments() | ({"IndexName": index} if index else {"ConsistentRead": True})
        asked |= ({"ExclusiveStartKey": typed(start)} if start else {}) | ({"Limit": most} if most else {})
        while True:
            answer = await self.call("query", **asked)
            yield [plain(item) for item in answer["Items"]]
            if "LastEvaluatedKey" not in answer:
                return
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call an operation on the table; raises Transient for an answer that takes too long, as it may have been lost."""
        asked = {name: value for name, value in {"TableName": self.name, **arguments}.items() if value is not None}
        async with self._turns:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    await self._open()
                    return await self._client.call(operation, **asked)
            except TimeoutError as error:
                raise Transient(f"dynamodb {operation}: no answer within {_ANSWER_S:g} s") from error

    async def _open(self) -> None:
        """Open the client when it is first used: what is wrong with region or credentials is found by the store's check."""
        async with self._opening:
            if not self._is_open:
                await self._client.__aenter__()
                self._is_open = True


class _Expression:
    """Builds expressions with stand-ins for all names and values: many names are reserved words."""

    def __init__(self, expect: Mapping[str, Any]) -> None:
        self._names: dict[str, str] = {}
        self._values: Item = {}
        self._more: dict[str, str] = {}
        if conditions := [self._condition(name, value) for name, value in expect.items()]:
            self._more["ConditionExpression"] = " AND ".join(conditions)

    def name(self, name: str) -> str:
        return self._names.setdefault(name, f"#n{len(self._names)}")

    def value(self, value: Any) -> str:
        stand_in = f":v{len(self._values)}"
        self._values[stand_in] = value
        return stand_in

    def update(self, changes: Mapping[str, Any], counted: str) -> str:
        kept = {name: value for name, value in changes.items() if not _absent(value)}
        sets = ", ".join(f"{self.name(name)} = {self.value(value)}" for name, value in kept.items())
        removed = ", ".join(self.name(name) for name in changes if name not in kept)
        parts = [f"ADD {self.name(counted)} {self.value(1)}"]
        parts += [f"SET {sets}"] if sets else []
        parts += [f"REMOVE {removed}"] if removed else []
        return " ".join(parts)

    def arguments(self) -> dict[str, Any]:
        names = {"ExpressionAttributeNames": {stand_in: name for name, stand_in in self._names.items()}}
        values = {"ExpressionAttributeValues": typed(self._values)}
        return {**self._more, **(names if self._names else {}), **(values if self._values else {})}

    def _condition(self, name: str, value: Any) -> str:
        if value is None:
            return f"attribute_not_exists({self.name(name)})"
        return f"{self.name(name)} = {self.value(value)}"


def typed(item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Give an item as DynamoDB is sent it, without what is None or empty."""
    return {name: _typed(value) for name, value in item.items() if not _absent(value)}


def plain(item: Mapping[str, Mapping[str, Any]]) -> Item:
    """Give an item that DynamoDB has sent."""
    return {name: _plain(*next(iter(value.items()))) for name, value in item.items()}


def _typed(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, (int, float)):
        return {"N": repr(value)}
    return {"B" if isinstance(value, bytes) else "S": value}


def _plain(kind: str, value: Any) -> Any:
    if kind == "N":
        return float(value) if {".", "e", "E"} & set(value) else int(value)
    return bytes(value) if kind == "B" else value


def _absent(value: Any) -> bool:
    return value is None or value in ("", b"")


def _key(pk: str, sk: str) -> dict[str, Any]:
    return typed({"pk": pk, "sk": sk})


def _rest(left: Any, progress: bool) -> Any:
    """Give what a batch left over, to be asked for at once where something got through."""
    if left and not progress:
        raise Throttled("dynamodb: nothing of a batch got through")
    return left


def keys(items: Iterable[Item]) -> list[tuple[str, str]]:
    """Give the keys of items."""
    return [(item["pk"], item["sk"]) for item in items]
