"""worker/sources/dynamodb.py: what it asks, what it reads again, what it is charged, and what is wrong with a job's words."""

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from aws import Aws
from fakes import now, virtually
from scripted import CUT, Scripted, refused, reply, scripted

from worker import Permanent, Run, Scope, Table, Throttled, Transient, dynamo, dynamodb
from worker.dynamo import Capacity
from worker.source import Key, Promise
from worker.sources.dynamodb_items import DynamoDBItems

SHAPE = {
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "shop", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "shop", "AttributeType": "S"},
        {"AttributeName": "id", "AttributeType": "N"},
        {"AttributeName": "state", "AttributeType": "S"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_state",
            "KeySchema": [{"AttributeName": "state", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
}
DESCRIBED = reply(
    200,
    {
        "Table": {
            "TableStatus": "ACTIVE",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        }
    },
)
NOTHING = reply(200, {"Items": [], "ScannedCount": 0})


@pytest.fixture
async def run() -> AsyncIterator[Run[Scope]]:
    """Give a run that closes what was opened."""
    run = Run("job", "key", Scope())
    yield run
    await run.resources.aclose()


@pytest.fixture
async def table(request: pytest.FixtureRequest, run: Run[Scope], aws: Aws) -> Table:
    """Give a table of thirty items in three shops, every second one open."""
    name = f"items-{secrets.token_hex(4)}"
    aws.client("dynamodb").create_table(TableName=name, **SHAPE)
    made = await run.enter(Table(run, name))
    await made.put(
        {"shop": f"shop {n % 3}", "id": n, "state": "open" if n % 2 else "paid", "note": "x"} for n in range(30)
    )
    return made


async def checked(source: DynamoDBItems) -> DynamoDBItems:
    """Hold that nothing is wrong with a source."""
    assert await source.check() == []
    return source


async def ids(source: DynamoDBItems, size: int = 7) -> list[int]:
    """Read a source to its end."""
    found: list[int] = []
    after: Key | None = None
    while True:
        records, after = await source.page(after, size)
        assert len(records) <= size
        found += [record["id"] for record in records]
        if after is None:
            return found


async def test_source_scans_by_segments(run: Run[Scope], table: Table) -> None:
    """The segments of a scan have each item once between them; each names itself in its order, so that cursors are not mixed up."""
    parts = [await checked(dynamodb.scan(run, table.name, segment=n, of=3)) for n in range(3)]
    found = [await ids(part) for part in parts]
    assert sorted(number for part in found for number in part) == list(range(30))
    assert [part.order for part in parts] == [f"{table.name} by shop, id, segment {n} of 3" for n in range(3)]
    with pytest.raises(ValueError, match="no segment 3"):
        dynamodb.scan(run, table.name, segment=3, of=3)


async def test_source_queries_in_both_directions(run: Run[Scope], table: Table) -> None:
    """A partition comes in the order of its sort key, or the other way round; a condition on that key narrows it."""
    values = {":shop": "shop 1", ":id": 10}
    up = await checked(dynamodb.query(run, table.name, "shop = :shop AND id > :id", values=values))
    down = await checked(dynamodb.query(run, table.name, "shop = :shop", values=values, descending=True))
    assert await ids(up) == [13, 16, 19, 22, 25, 28]
    assert await ids(down) == list(range(28, 0, -3))
    assert down.order.endswith("by shop, id desc")


@pytest.mark.parametrize("size", [1, 3, 100])
async def test_source_filters_and_projects(run: Run[Scope], table: Table, size: int) -> None:
    """Only what the filter lets through comes, no more of it than was asked for, with what is wanted of it and its key."""
    source = await checked(
        dynamodb.scan(
            run,
            table.name,
            filter="#state = :open AND id < :most",
            names={"#state": "state"},
            values={":open": "open", ":most": 20},
            projection=["note"],
        )
    )
    assert sorted(await ids(source, size)) == list(range(1, 20, 2))
    assert (await source.page(None, 1)).records[:1] in ([], [{"shop": "shop 0", "id": 3, "note": "x"}])


async def test_source_reads_again_what_the_filter_still_lets_through(run: Run[Scope], table: Table) -> None:
    """An item that is gone, or that the filter leaves out by now, is left out; the others come as they are now."""
    source = await checked(
        dynamodb.scan(run, table.name, filter="#s = :open", names={"#s": "state"}, values={":open": "open"})
    )
    keys: list[Key] = [("shop 0", 3), ("shop 1", 7), ("shop 2", 5), ("shop 0", 9)]
    await table.update_if({"shop": "shop 0", "id": 3}, "SET #s = :s", names={"#s": "state"}, values={":s": "paid"})
    await table.delete([{"shop": "shop 1", "id": 7}])
    await table.update_if({"shop": "shop 2", "id": 5}, "SET note = :n", values={":n": "new"})
    assert {(item["id"], item["note"]) for item in await source.records(keys)} == {(5, "new"), (9, "x")}
    by_key = dynamodb.scan(run, table.name, filter="begins_with(shop, :s) AND note = :n", values={":s": "s", ":n": "x"})
    again = await (await checked(by_key)).records([("shop 2", 5)])
    assert [item["note"] for item in again] == ["new"], "DynamoDB has no such filter for an item read by its key"


async def test_source_over_an_index_leaves_out_what_moved(run: Run[Scope], table: Table) -> None:
    """An item whose index key changed is read by the table's key, and is another record than was asked for."""
    source = await checked(
        dynamodb.query(run, table.name, "#s = :open", names={"#s": "state"}, values={":open": "open"}, index="by_state")
    )
    assert (source.promise, source.order) == (Promise.BY_POSITION, f"{table.name}/by_state by state, shop, id")
    assert sorted(await ids(source)) == list(range(1, 30, 2))
    keys: list[Key] = [("open", "shop 0", 3), ("open", "shop 1", 7), ("open", "shop 2", 5)]
    await table.update_if({"shop": "shop 0", "id": 3}, "SET #s = :s", names={"#s": "state"}, values={":s": "paid"})
    await table.update_if({"shop": "shop 1", "id": 7}, "REMOVE #s", names={"#s": "state"})
    assert [item["id"] for item in await source.records(keys)] == [5]


async def test_source_reads_more_keys_than_a_batch_has(run: Run[Scope], table: Table) -> None:
    """Keys beyond the hundred that one call takes go with the next; one that comes twice is asked for once."""
    await table.put({"shop": "large", "id": n} for n in range(230))
    source = await checked(dynamodb.scan(run, table.name))
    keys: list[Key] = [("large", n) for n in range(230)] + [("large", 0)]
    assert sorted(item["id"] for item in await source.records(keys)) == list(range(230))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("S", "a/b"), ("S", "nul \0 and \\0 and \\"), ("N", 12), ("N", -(10**30)), ("N", "12.5"), ("B", b"\0\xff")],
)
async def test_source_key_goes_through_the_run_store(run: Run[Scope], aws: Aws, kind: str, value: Any) -> None:
    """Whatever a key is, its text in the run store, which takes no NUL, gives it back exactly."""
    value = Decimal(value) if (kind, value) == ("N", "12.5") else value
    name = f"items-{secrets.token_hex(4)}"
    schema = [{"AttributeName": "id", "KeyType": "HASH"}]
    types = [{"AttributeName": "id", "AttributeType": kind}]
    aws.client("dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=schema, AttributeDefinitions=types
    )
    await (await run.enter(Table(run, name))).put([{"id": value}])
    source = await checked(dynamodb.scan(run, name))
    [record] = (await source.page(None, 10)).records
    text = json.dumps(source.encode(source.key(record)))
    assert "\\u0000" not in text
    assert source.decode(json.loads(text)) == (value,) == source.key(record)
    assert await source.records([source.decode(json.loads(text))]) == [record]


async def test_source_counts_a_whole_table_only(run: Run[Scope], table: Table) -> None:
    """The table's own count stands for a scan, its share for a segment; for all else it is unknown."""
    values = {":shop": "shop 1"}
    sources = {
        30: dynamodb.scan(run, table.name),
        10: dynamodb.scan(run, table.name, of=3),
        None: dynamodb.scan(run, table.name, filter="shop = :shop", values=values),
    }
    for count, source in sources.items():
        assert await (await checked(source)).count(None) == count
    assert await (await checked(dynamodb.query(run, table.name, "shop = :shop", values=values))).count(None) is None
    assert await sources[30].count(("shop 1", 1)) is None


FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("has no index 'by_day' \\(by_state\\)", {"index": "by_day"}),
    ("'by_state' is global", {"index": "by_state", "consistent": True}),
    ("refuses the job's scan of 'items-.*ValidationException", {"filter": "id >< :one", "values": {":one": 1}}),
]


@pytest.mark.parametrize(("said", "asked"), FAULTS)
async def test_source_says_what_is_wrong(run: Run[Scope], table: Table, said: str, asked: dict[str, Any]) -> None:
    """An index that is not there, an expression that is none, a value that was not given: said before any record is read."""
    [fault] = await dynamodb.scan(run, table.name, **asked).check()
    with pytest.raises(Permanent, match=said):
        raise Permanent(fault)


async def test_source_says_that_there_is_no_table(run: Run[Scope], aws: Aws) -> None:
    """A table that is not there is a fault; what is said wrongly is refused where it is said."""
    [fault] = await dynamodb.scan(run, "absent").check()
    assert fault == "there is no DynamoDB table 'absent' in this account and region"
    with pytest.raises(ValueError, match=":one in 'id > :one' has neither name nor value"):
        dynamodb.scan(run, "absent", filter="id > :one", values={":on": 1})
    with pytest.raises(TypeError, match="a float"):
        dynamodb.scan(run, "absent", filter="id > :one", values={":one": 1.5})
    with pytest.raises(ValueError, match="rcu must be more than 0"):
        dynamodb.scan(run, "absent", rcu=0)


async def at(server: Scripted, monkeypatch: pytest.MonkeyPatch, run: Run[Scope], **asked: Any) -> DynamoDBItems:
    """Give a source that a script answers."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    return await checked(dynamodb.scan(run, "t", **asked))


@pytest.mark.usefixtures("aws")
async def test_source_asks_again_for_keys_that_were_left(run: Run[Scope], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a batch left unprocessed is asked for again, and that alone; what never comes is a throttle."""
    monkeypatch.setattr(dynamo, "_PAUSES_S", (0, 0))
    a, b = ({"id": {"S": name}} for name in "ab")
    left = reply(200, {"Responses": {"t": [a]}, "UnprocessedKeys": {"t": {"Keys": [b]}}})
    rest = reply(200, {"Responses": {"t": [b]}, "UnprocessedKeys": {}})
    nothing = reply(200, {"Responses": {}, "UnprocessedKeys": {"t": {"Keys": [a, b]}}})
    async with scripted(DESCRIBED, NOTHING, left, rest, nothing, nothing) as server:
        source = await at(server, monkeypatch, run)
        assert await source.records([("a",), ("b",)]) == [{"id": "a"}, {"id": "b"}]
        assert server.asked[-1]["RequestItems"]["t"] == {"Keys": [b], "ConsistentRead": True}
        with pytest.raises(Throttled, match="left 2 of a batch"):
            await source.records([("a",), ("b",)])


@pytest.mark.usefixtures("aws")
async def test_source_lets_the_engine_wait_for_a_throttle(run: Run[Scope], monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttle, a cut and an answer that is not DynamoDB's are worth another try: none ends the source, none is an empty page."""
    said = [refused("ProvisionedThroughputExceededException"), CUT, reply(200, b"<html>log in</html>")]
    async with scripted(DESCRIBED, NOTHING, *said, NOTHING) as server:
        source = await at(server, monkeypatch, run)
        kinds = []
        for _ in said:
            with pytest.raises(Transient) as caught:
                await source.page(None, 10)
            kinds.append(type(caught.value))
        assert (await source.page(None, 10)).after is None
    assert kinds == [Throttled, Transient, Transient]


@pytest.mark.usefixtures("aws")
async def test_source_looks_further_where_a_filter_lets_little_through(
    run: Run[Scope], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty pages let it look at more items a page; what comes beyond the size that was asked for is left for the next page."""
    empty = reply(200, {"Items": [], "ScannedCount": 4, "LastEvaluatedKey": {"id": {"S": "x"}}})
    many = reply(200, {"Items": [{"id": {"S": name}} for name in "abcde"], "ScannedCount": 16})
    async with scripted(DESCRIBED, NOTHING, empty, empty, many, empty) as server:
        source = await at(server, monkeypatch, run, filter="id > :one", values={":one": "1"})
        assert await source.page(None, 4) == ([], ("x",))
        assert await source.page(("x",), 4) == ([], ("x",))
        page = await source.page(("x",), 4)
        assert ([item["id"] for item in page.records], page.after) == (["a", "b", "c", "d"], ("d",))
        await source.page(page.after, 4)
        assert [asked.get("Limit") for asked in server.asked[2:]] == [4, 8, 16, 8]
        assert server.asked[-1]["ExclusiveStartKey"] == {"id": {"S": "d"}}


async def test_source_counts_what_it_reads(run: Run[Scope], table: Table) -> None:
    """The units that DynamoDB charges are in the run's counters."""
    before = run.counters["rcu"]
    await ids(await checked(dynamodb.scan(run, table.name, consistent=True)), 1)
    assert run.counters["rcu"] > before


def test_capacity_holds_to_its_units_a_second() -> None:
    """On the average no more is consumed than that, and a request is made small enough to cost about a second's units."""
    run = Run("job", "key", Scope())

    async def consume() -> Sequence[float]:
        capacity, times = Capacity(run, "rcu", 10), []
        assert capacity.affordable(500) == 10, "before anything is known an item counts as a unit"
        for units in (10, 5, 20, 0.5, 0.5):
            await capacity.wait()
            times.append(now())
            capacity.charge({"ConsumedCapacity": {"CapacityUnits": units}}, items=100)
        assert capacity.affordable(500) == 500, "an item costs little"
        return times

    assert virtually(consume()) == pytest.approx([0, 1, 1.5, 3.5, 3.55])
    assert run.counters["rcu"] == 36


def test_capacity_without_a_limit_waits_for_nothing() -> None:
    """Without a limit all is counted, batches by their parts, and nothing waits; an answer without figures counts nothing."""
    run = Run("job", "key", Scope())

    async def consume() -> float:
        capacity = Capacity(run, "wcu")
        for _ in range(3):
            capacity.charge({"ConsumedCapacity": [{"CapacityUnits": 2.0}, {"CapacityUnits": 0.5}]})
            capacity.charge({})
            await capacity.wait()
        assert capacity.affordable(500) == 500
        return now()

    assert virtually(consume()) == 0
    assert run.counters["wcu"] == 7
