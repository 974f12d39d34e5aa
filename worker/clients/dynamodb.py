"""Write to a DynamoDB table: many items in batches, or each on a condition, which is what compare-and-set is."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from worker.attributes import Item, from_item, to_item
from worker.boto import Client
from worker.dynamo import Capacity, described, expressions, key_names, until_processed
from worker.errors import Permanent
from worker.job import Run

_BATCH = 25
"""So many writes BatchWriteItem takes; conditional ones go out as many at once."""
_UNMET = "ConditionalCheckFailedException"


class Table:
    """One table: `self.sessions = await run.enter(Table(run, run.environment["SESSIONS_TABLE"]))`.

    Items hold Python values; where a key is wanted, an item that has it will do. Conditions are DynamoDB's expressions, with
    `values={":now": …}` and `names={"#name": "name"}`. `limit` names a further rate limit of which each call takes a permit.
    A dry run reads, and refuses to write. What is written counts as `wcu`.
    """

    def __init__(self, run: Run[Any], name: str, *, limit: str | None = None) -> None:
        self.name = name
        self._client = Client(run, "dynamodb", limit=limit)
        self._written, self._read = Capacity(run, "wcu"), Capacity(run, "rcu")
        self._key: tuple[str, ...] = ()

    async def __aenter__(self) -> "Table":
        await self._client.__aenter__()
        try:
            self._key = key_names((await described(self._client, self.name))["KeySchema"])
        except BaseException:
            await self._client.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.__aexit__(*exc_info)

    async def get(self, key: Mapping[str, Any]) -> Item | None:
        """Read one item, consistently; None: it is not there."""
        answer = await self._call(self._read, "get_item", Key=self._key_of(key), ConsistentRead=True)
        return from_item(answer["Item"]) if "Item" in answer else None

    async def put(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write items in place of what was there; of several with one key the last."""
        await self._batches({self._named(item): {"PutRequest": {"Item": to_item(item)}} for item in items})

    async def delete(self, keys: Iterable[Mapping[str, Any]]) -> None:
        """Delete items; what is not there is none the less gone."""
        await self._batches({self._named(key): {"DeleteRequest": {"Key": self._key_of(key)}} for key in keys})

    async def put_if(
        self,
        items: Iterable[Item],
        condition: str,
        values: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> list[Item]:
        """Write each item for which the condition holds of what is there; give those that were written."""
        told = expressions(names or {}, values or {}, ConditionExpression=condition)
        return await self._each(items, lambda item: self._met("put_item", Item=to_item(item), **told))

    async def delete_if(
        self,
        keys: Iterable[Item],
        condition: str,
        values: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> list[Item]:
        """Delete each item for which the condition holds of what is there; give those for which it did."""
        told = expressions(names or {}, values or {}, ConditionExpression=condition)
        return await self._each(keys, lambda key: self._met("delete_item", Key=self._key_of(key), **told))

    async def update_if(
        self,
        key: Mapping[str, Any],
        update: str,
        condition: str | None = None,
        values: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> bool:
        """Carry out an update expression if the condition holds of what is there; tell whether it did."""
        told = expressions(names or {}, values or {}, UpdateExpression=update, ConditionExpression=condition)
        return await self._met("update_item", Key=self._key_of(key), **told)

    async def _batches(self, requests: Mapping[tuple[Any, ...], Item]) -> None:
        """Send requests by 25, and again what DynamoDB left unprocessed of them."""
        everything = list(requests.values())
        for start in range(0, len(everything), _BATCH):
            await until_processed(self._send, everything[start : start + _BATCH])

    async def _send(self, batch: Sequence[Item]) -> Sequence[Item]:
        answer = await self._client.call(
            "batch_write_item", RequestItems={self.name: batch}, ReturnConsumedCapacity="TOTAL"
        )
        self._written.charge(answer)
        left: Sequence[Item] = answer.get("UnprocessedItems", {}).get(self.name, ())
        return left

    async def _each(self, items: Iterable[Item], send: Callable[[Item], Coroutine[Any, Any, bool]]) -> list[Item]:
        """Send one request an item, some at once; give the items that were written."""
        everything, written = list(items), list[Item]()
        for start in range(0, len(everything), _BATCH):
            batch = everything[start : start + _BATCH]
            met = await asyncio.gather(*map(send, batch))
            written += [item for item, was in zip(batch, met, strict=True) if was]
        return written

    async def _met(self, operation: str, **arguments: Any) -> bool:
        """Call an operation; tell whether its condition was met."""
        try:
            await self._call(self._written, operation, **arguments)
        except Permanent as error:
            if error.type == _UNMET:
                return False
            raise
        return True

    async def _call(self, capacity: Capacity, operation: str, **arguments: Any) -> Any:
        answer = await self._client.call(operation, TableName=self.name, ReturnConsumedCapacity="TOTAL", **arguments)
        capacity.charge(answer)
        return answer

    def _named(self, item: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(self._own(item).values())

    def _key_of(self, item: Mapping[str, Any]) -> Item:
        return to_item(self._own(item))

    def _own(self, item: Mapping[str, Any]) -> Item:
        if missing := [name for name in self._key if name not in item]:
            raise ValueError(
                f"the key of {self.name!r} is {', '.join(self._key)}; {', '.join(missing)} not in {item!r:.200}"
            )
        return {name: item[name] for name in self._key}
