"""The DynamoDB table that jobs are given: batches, writes on conditions, dry runs."""

import secrets
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from aws import Aws
from scripted import refused, reply, scripted
from test_dynamodb_source import DESCRIBED

from worker import Permanent, Run, Scope, Table, Throttled, dynamo
from worker.boto import Client
from worker.errors import Faults

SHAPE = {
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
}


def a_run(*, dry: bool = False) -> Run[Scope]:
    """Give a run that has no front door."""
    return Run("job", "key", Scope(), dry_run=dry)


@pytest.fixture(params=["aws", "dynalite_aws"])
async def table(request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    """Give an empty table, in moto and in dynalite."""
    request.getfixturevalue(request.param)
    run, name = a_run(), f"table-{secrets.token_hex(4)}"
    client = await run.enter(Client(run, "dynamodb"))
    await client.call("create_table", TableName=name, **SHAPE)
    while (await client.call("describe_table", TableName=name))["Table"]["TableStatus"] != "ACTIVE":
        continue
    yield await run.enter(Table(run, name))
    await run.resources.aclose()


async def test_table_puts_and_deletes_in_batches(table: Table) -> None:
    """More items than a batch takes are written; of two with one key the last; deleting takes items, and what is not there."""
    await table.put({"id": str(n), "price": Decimal("1.5"), "tags": {"a"}} for n in range(60))
    await table.put([{"id": "1", "n": 1}, {"id": "1", "n": 2}])
    assert await table.get({"id": "1"}) == {"id": "1", "n": 2}
    assert await table.get({"id": "59"}) == {"id": "59", "price": Decimal("1.5"), "tags": {"a"}}
    await table.delete({"id": str(n), "other": "attribute"} for n in range(70))
    assert await table.get({"id": "59"}) is None


async def test_table_writes_on_conditions(table: Table) -> None:
    """Compare-and-set: what was changed meanwhile is left alone, and who wrote is known."""
    items = [{"id": str(n), "version": 1} for n in range(30)]
    assert await table.put_if(items, "attribute_not_exists(id)") == items
    assert await table.put_if(items, "attribute_not_exists(id)") == []
    change = {"update": "SET version = :new", "condition": "version = :old", "values": {":old": 1, ":new": 2}}
    assert await table.update_if({"id": "7"}, **change)  # type: ignore[arg-type]
    assert not await table.update_if({"id": "7"}, **change)  # type: ignore[arg-type]
    assert not await table.update_if({"id": "absent"}, **change)  # type: ignore[arg-type]
    gone = await table.delete_if(items, "#v = :old", {":old": 1, ":unused": 0}, {"#v": "version", "#unused": "x"})
    assert gone == [item for item in items if item["id"] != "7"]
    assert await table.get({"id": "7"}) == {"id": "7", "version": 2}


async def test_table_says_what_is_wrong(table: Table) -> None:
    """An item without its key is refused before it is sent; another refusal than of the condition is no `False`."""
    with pytest.raises(ValueError, match=r"the key of .* is id; id not in"):
        await table.put([{"name": "x"}])
    with pytest.raises(Permanent, match="ValidationException"):
        await table.delete_if([{"id": "1"}], "not a condition")


async def test_table_that_is_not_there_is_a_fault(aws: Aws) -> None:
    """It is found when it is opened, before any record."""
    with pytest.raises(Faults, match="no DynamoDB table 'absent'"):
        await Table(a_run(), "absent").__aenter__()


async def test_table_in_a_dry_run_reads_and_does_not_write(table: Table) -> None:
    """Items can be looked at; every way of writing is refused."""
    await table.put([{"id": "1"}])
    async with Table(a_run(dry=True), table.name) as dry:
        assert await dry.get({"id": "1"}) == {"id": "1"}
        for write in (
            dry.put([{"id": "2"}]),
            dry.delete([{"id": "1"}]),
            dry.put_if([{"id": "2"}], "attribute_not_exists(id)"),
            dry.delete_if([{"id": "1"}], "attribute_exists(id)"),
            dry.update_if({"id": "1"}, "SET n = :n", values={":n": 1}),
        ):
            with pytest.raises(Permanent, match="dry run"):
                await write
    assert await table.get({"id": "1"}) == {"id": "1"}


@pytest.mark.usefixtures("aws")
async def test_table_sends_again_what_was_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a batch left unprocessed is sent again, and that alone, and is counted; what never goes through is a throttle."""
    monkeypatch.setattr(dynamo, "_PAUSES_S", (0, 0))
    b = {"PutRequest": {"Item": {"id": {"S": "b"}}}}
    charged = {"ConsumedCapacity": [{"TableName": "t", "CapacityUnits": 2.0}]}
    left, done = (
        reply(200, {"UnprocessedItems": {"t": [b]}, **charged}),
        reply(200, {"UnprocessedItems": {}, **charged}),
    )
    run = a_run()
    async with scripted(DESCRIBED, left, done, left, left, refused("ThrottlingException")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        async with Table(run, "t") as table:
            await table.put([{"id": "a"}, {"id": "b"}])
            assert server.asked[-1]["RequestItems"] == {"t": [b]}
            assert run.counters["wcu"] == 4
            with pytest.raises(Throttled, match="left 1 of a batch"):
                await table.put([{"id": "b"}])
            with pytest.raises(Throttled):
                await table.put([{"id": "b"}])
