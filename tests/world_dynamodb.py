"""A DynamoDB table to be scanned or queried, by its own key or an index's, in moto and in dynalite."""

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from worker import Run, Scope, Table
from worker.attributes import Item
from worker.boto import Client
from worker.source import Record
from worker.sources import dynamodb
from worker.sources.dynamodb_items import DynamoDBItems

Read = Callable[[Run[Any], str], DynamoDBItems]


def attributes(**names: str) -> list[dict[str, str]]:
    """Describe key attributes by their types."""
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in names.items()]


def key(*names: str) -> list[dict[str, str]]:
    """Describe a key, the partition's first."""
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


SIMPLE = {"AttributeDefinitions": attributes(id="N"), "KeySchema": key("id")}
SORTED = {"AttributeDefinitions": attributes(shop="S", id="N"), "KeySchema": key("shop", "id")}
INDEXED = {
    "AttributeDefinitions": attributes(id="N", shop="S", place="N"),
    "KeySchema": key("id"),
    "GlobalSecondaryIndexes": [
        {"IndexName": "by_shop", "KeySchema": key("shop", "place"), "Projection": {"ProjectionType": "ALL"}}
    ],
}


class DynamoDBWorld:
    """A table of such a shape, read in such a way, at the server that the environment names."""

    def __init__(self, shape: Mapping[str, Any], read: Read) -> None:
        self.lacks: dict[str, str] = {}
        self._shape, self._read = shape, read
        self._run: Run[Any] = Run("job", "key", Scope())
        self._name = f"world-{secrets.token_hex(6)}"

    async def __aenter__(self) -> Self:
        self._aws = await self._run.enter(Client(self._run, "dynamodb"))
        await self._aws.call("create_table", TableName=self._name, BillingMode="PAY_PER_REQUEST", **self._shape)
        while (await self._aws.call("describe_table", TableName=self._name))["Table"]["TableStatus"] != "ACTIVE":
            continue  # dynalite takes a moment
        self._table = await self._run.enter(Table(self._run, self._name))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._aws.call("delete_table", TableName=self._name)
        await self._run.resources.aclose()

    async def source(self) -> DynamoDBItems:
        """Give a source over the table."""
        source = self._read(self._run, self._name)
        assert await source.check() == []
        return source

    async def insert(self, ids: Iterable[int]) -> None:
        """Put items."""
        await self._table.put(self._item(number) for number in ids)

    async def delete(self, ids: Iterable[int]) -> None:
        """Delete items."""
        await self._table.delete(self._item(number) for number in ids)

    async def change(self, ids: Iterable[int]) -> None:
        """Raise the version of items."""
        for number in ids:
            key = self._item(number)
            await self._table.update_if(key, "SET version = version + :one", "attribute_exists(id)", {":one": 1})

    def id(self, record: Record) -> int:
        """Give the item's id."""
        return int(record["id"])

    def version(self, record: Record) -> int:
        """Give the item's version."""
        return int(record["version"])

    def _item(self, number: int) -> Item:
        return {"id": number, "shop": "north", "place": number % 7, "version": 0, "state": "live"}


def whole(run: Run[Any], table: str) -> DynamoDBItems:
    """Read a table by its key."""
    return dynamodb.scan(run, table)


def filtered(run: Run[Any], table: str) -> DynamoDBItems:
    """Read what a filter lets through, and some of its attributes."""
    return dynamodb.scan(
        run, table, filter="#state = :live", values={":live": "live"}, names={"#state": "state"}, projection=["version"]
    )


def partition(run: Run[Any], table: str) -> DynamoDBItems:
    """Read a partition from its end."""
    return dynamodb.query(run, table, "shop = :shop", values={":shop": "north"}, descending=True)


def indexed(run: Run[Any], table: str) -> DynamoDBItems:
    """Read a partition of an index, whose sort key many items share."""
    return dynamodb.query(run, table, "shop = :shop", values={":shop": "north"}, index="by_shop")


def at_moto(shape: Mapping[str, Any], read: Read) -> Callable[[Any], DynamoDBWorld]:
    """Make a world at moto."""

    def made(aws: Any) -> DynamoDBWorld:
        world = DynamoDBWorld(shape, read)
        world.lacks = {"bulk": "moto sorts the whole table for each page"}
        return world

    return made


def at_dynalite(shape: Mapping[str, Any], read: Read) -> Callable[[Any], DynamoDBWorld]:
    """Make a world at dynalite."""

    def made(dynalite_aws: Any) -> DynamoDBWorld:
        return DynamoDBWorld(shape, read)

    return made


WORLDS = {
    "dynamodb scan, moto": at_moto(SIMPLE, whole),
    "dynamodb index, moto": at_moto(INDEXED, indexed),
    "dynamodb filtered scan, dynalite": at_dynalite(SIMPLE, filtered),
    "dynamodb query, dynalite": at_dynalite(SORTED, partition),
}
