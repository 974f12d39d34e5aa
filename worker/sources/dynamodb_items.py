"""The items of a DynamoDB table or index as a source: an item's primary key is the position behind it."""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from worker.attributes import Item, from_item, to_item
from worker.boto import Client
from worker.dynamo import Capacity, described, key_names, until_processed
from worker.errors import Faults, Permanent, Transient
from worker.job import Run
from worker.source import Bounds, JsonKey, Key, Page, Promise, Record
from worker.sources.dynamodb_asked import Asked

_BATCH = 100
"""So many keys BatchGetItem takes."""
_FURTHEST = 64
"""So many times the page's size may a filtered page look at; DynamoDB ends it at 1 MB anyway."""
_ENCODE: dict[str, Callable[[Any], str]] = {
    "S": lambda text: text.replace("\\", "\\\\").replace("\0", "\\0"),  # PostgreSQL takes no NUL
    "N": str,
    "B": lambda data: base64.b64encode(data).decode(),
}
_DECODE: dict[str, Callable[[str], Any]] = {
    "S": lambda text: re.sub(r"\\(.)", lambda found: "\0" if found[1] == "0" else found[1], text),
    "N": lambda text: int(text) if text.lstrip("-").isdecimal() else Decimal(text),
    "B": lambda text: base64.b64decode(text, validate=True),
}


class DynamoDBItems:
    """The items of a table, a segment, an index or a partition key. An index has no promise: its key may change."""

    def __init__(self, run: Run[Any], asked: Asked, part: str, rcu: float | None) -> None:
        self._run, self._asked, self._part = run, asked, part
        self._capacity = Capacity(run, "rcu", rcu)
        self._client: Client | None = None
        self._key: tuple[str, ...] = ()
        self._own: tuple[str, ...] = ()
        self._types: tuple[str, ...] = ()
        self._stretch = 1
        self._pages: dict[str, Any] = {}
        self.promise = Promise.STABLE if asked.index is None else Promise.BY_POSITION
        self.order = self._place = asked.table if asked.index is None else f"{asked.table}/{asked.index}"

    async def check(self) -> list[str]:
        """Find whether table and index are there, and whether DynamoDB takes the expressions."""
        if self._client is None:
            self._client = await self._run.enter(Client(self._run, "dynamodb"))
        try:
            return self._learn(await described(self._client, self._asked.table)) or await self._try()
        except Faults as faults:
            return list(faults.faults)

    def key(self, record: Record) -> Key:
        """Give the values of the key attributes: of an index its own, then the table's."""
        return tuple([record[name] for name in self._key])

    def encode(self, key: Key) -> JsonKey:
        """Give each value as text."""
        return [_ENCODE[kind](value) for kind, value in zip(self._types, key, strict=True)]

    def decode(self, key: JsonKey) -> Key:
        """Read each value by its attribute's type."""
        return tuple(_DECODE[kind](value) for kind, value in zip(self._types, key, strict=True))

    async def page(self, after: Key | None, size: int) -> Page:
        """Read the next items; where a filter lets through more than were asked for, the rest is read again."""
        await self._capacity.wait()
        start = {} if after is None else {"ExclusiveStartKey": to_item(dict(zip(self._key, after, strict=True)))}
        limit = self._capacity.affordable(size * self._stretch)
        answer = await self._call(self._asked.operation, **self._pages, **start, Limit=limit)
        records = [from_item(item) for item in answer["Items"]]
        if len(records) > size:
            self._stretch = max(1, self._stretch // 2)
            return Page(records[:size], self.key(records[size - 1]))
        if self._asked.filter and len(records) <= size // 2:
            self._stretch = min(_FURTHEST, self._stretch * 2)
        last = answer.get("LastEvaluatedKey")
        return Page(records, None if last is None else self.key(from_item(last)))

    async def count(self, after: Key | None) -> int | None:
        """Give the table's own count, which DynamoDB renews every six hours; None where it says nothing of what is asked."""
        asked = self._asked
        if after is not None or asked.operation == "query" or asked.filter or asked.index:
            return None
        assert self._client is not None, "checked first"
        items = (await described(self._client, asked.table))["ItemCount"]
        return int(items) // int(asked.how.get("TotalSegments", 1)) or None  # 0: the table is younger than its count

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Read the items with these keys afresh, consistently, from the table itself.

        Left out is what is gone, has another index key now, or is no longer let through by the filter; but DynamoDB applies
        no filter that names the table's key to an item read by it, so that what such a filter selects is for the job to look at.
        """
        own = {
            tuple(item[n] for n in self._own): item for item in (dict(zip(self._key, key, strict=True)) for key in keys)
        }
        items = [{name: item[name] for name in self._own} for item in own.values()]
        read = self._each if self._asked.filter and not self._asked.filters_by(self._own) else self._batch
        found = [item for n in range(0, len(items), _BATCH) for item in await read(items[n : n + _BATCH])]
        wanted = set(keys)
        return [item for item in found if item.keys() >= set(self._key) and self.key(item) in wanted]

    async def _batch(self, keys: Sequence[Item]) -> list[Item]:
        """Read up to 100 items by their keys at once."""
        table, found, told = self._asked.table, list[Item](), self._asked.batch(self._key)

        async def send(left: Sequence[Item]) -> Sequence[Item]:
            await self._capacity.wait()
            asked = {table: {"Keys": left, **told}}
            answer = await self._call("batch_get_item", RequestItems=asked)
            found.extend(map(from_item, answer["Responses"].get(table, ())))
            unprocessed: Sequence[Item] = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", ())
            return unprocessed

        await until_processed(send, [to_item(key) for key in keys])
        return found

    async def _each(self, keys: Sequence[Item]) -> list[Item]:
        """Read items by their keys through the filter, a request each: no batch has one."""
        await self._capacity.wait()
        answers = await asyncio.gather(*(self._call("query", **self._asked.one(key, self._key)) for key in keys))
        return [from_item(item) for answer in answers for item in answer["Items"]]

    async def _call(self, operation: str, **arguments: Any) -> Any:
        assert self._client is not None, "checked first"
        answer = await self._client.call(operation, ReturnConsumedCapacity="TOTAL", **arguments)
        if (
            not {"Items", "Responses"} & answer.keys()
        ):  # a proxy's page, say: taken for an empty one it would end the source
            raise Transient(f"dynamodb {operation}: what answered was not DynamoDB")
        self._capacity.charge(answer, answer.get("ScannedCount", 0))
        return answer

    def _learn(self, table: Mapping[str, Any]) -> list[str]:
        """Learn the key from a table's description."""
        asked = self._asked
        globals_, locals_ = (table.get(f"{kind}SecondaryIndexes", ()) for kind in ("Global", "Local"))
        indexes = {index["IndexName"]: index for index in (*globals_, *locals_)}
        if asked.index is not None and asked.index not in indexes:
            known = ", ".join(indexes) or "it has none"
            return [f"the DynamoDB table {asked.table!r} has no index {asked.index!r} ({known})"]
        if asked.how["ConsistentRead"] and asked.index in {index["IndexName"] for index in globals_}:
            return [
                f"the index {asked.index!r} is global, and such have no consistent reads: leave consistent=True out"
            ]
        self._own = key_names(table["KeySchema"])
        first = () if asked.index is None else key_names(indexes[asked.index]["KeySchema"])
        self._key = tuple(dict.fromkeys((*first, *self._own)))
        types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
        self._types = tuple(types[name] for name in self._key)
        self.order = f"{self._place} by {', '.join(self._key)}{self._part}"
        self._pages = asked.pages(self._key)
        return []

    async def _try(self) -> list[str]:
        """Have DynamoDB look at the expressions and at the rights, for one item."""
        try:
            await self._call(self._asked.operation, **self._pages, Limit=1)
        except Permanent as error:
            return [f"DynamoDB refuses the job's {self._asked.operation} of {self._asked.table!r}: {error}"]
        return []


class DynamoDBScan(DynamoDBItems):
    """A scan of a whole table or index, which shards read by segments: DynamoDB divides it, nobody else needs to."""

    async def bounds(self, parts: int) -> Bounds:
        """Find none: there are segments."""
        return []

    def narrow(self, number: int, parts: int, bounds: Bounds) -> None:
        """Read one segment alone."""
        part = {"Segment": number - 1, "TotalSegments": parts}
        self._asked = replace(self._asked, how={**self._asked.how, **part})
        self._pages = self._asked.pages(self._key)
        self._capacity.share(parts)
        self.order += f", segment {number - 1} of {parts}"
