"""The run store's table: made where it is not there, and checked before it is used."""

import asyncio
from collections.abc import Mapping
from typing import Any

from worker.errors import Faults, Permanent, Throttled, Transient
from worker.store.table import Table

_KEYS = {"pk": "HASH", "sk": "RANGE"}
_SELDOM = ("status", "mode", "scope_hash", "attempt")
"""What the index by job tells beside the keys: a commit or a heartbeat changes none of it."""
INDEXES: Mapping[str, tuple[Mapping[str, str], tuple[str, ...]]] = {
    "runs-by-job": ({"job": "HASH", "created_at": "RANGE"}, _SELDOM),
    "runs-by-time": ({"kind": "HASH", "created_at": "RANGE"}, ()),
}
_NOBODY = {"pk": {"S": "check"}, "sk": {"S": "check"}}
_POLL_S, _MADE_S = 0.5, 120.0
_NEVER = {"Key": _NOBODY, "UpdateExpression": "ADD revision :one", "ConditionExpression": "attribute_exists(pk)"}
_PROBES: Mapping[str, Mapping[str, Any]] = {
    "GetItem": {"Key": _NOBODY},
    "PutItem": {"Item": _NOBODY, "ConditionExpression": "attribute_exists(pk)"},
    "UpdateItem": {**_NEVER, "ExpressionAttributeValues": {":one": {"N": "1"}}},
    "Query": {
        "IndexName": "runs-by-job",
        "KeyConditionExpression": "job = :job",
        "ExpressionAttributeValues": {":job": {"S": "check"}},
        "Limit": 1,
    },
}
_OPERATIONS = {"GetItem": "get_item", "PutItem": "put_item", "UpdateItem": "update_item", "Query": "query"}
"""What a run needs to be allowed; each is tried in a way that finds and changes nothing."""


async def faults_of(table: Table) -> list[str]:
    """Find what keeps a run from using the table: each operation is tried once, with a condition that no item fulfils."""
    found = await asyncio.gather(*(_fault(table, operation) for operation in _OPERATIONS))
    return list(dict.fromkeys(fault for fault in found if fault is not None))


async def _fault(table: Table, operation: str) -> str | None:
    try:
        await table.call(_OPERATIONS[operation], **_PROBES[operation])
    except Permanent as error:
        return None if error.type == "ConditionalCheckFailedException" else _said(table, operation, error)
    return None


def _said(table: Table, operation: str, error: Permanent) -> str:
    if error.type == "ResourceNotFoundException":
        return (
            f"the run store's table {table.name!r} (RUN_TABLE) is not there, or not whole: run python -m worker migrate"
        )
    if error.type == "ValidationException":
        return f"table {table.name!r} (RUN_TABLE) is no run store, or not whole: run python -m worker migrate ({error})"
    if error.type in ("AccessDeniedException", "AccessDenied"):
        return f"table {table.name!r} (RUN_TABLE) refuses the run store: allow dynamodb:{operation} on it and on its indexes"
    return f"table {table.name!r} (RUN_TABLE) refuses the run store: {error}"


async def migrate(table: Table) -> list[str]:
    """Make the table and what it lacks, and have it forget; give the names of what was made. Raises Faults for another table."""
    made = await make(table)
    return [*made, "expiry"] if await _expires(table) else made


async def make(table: Table) -> list[str]:
    """Make the table, or the indexes that it lacks; give their names. Raises Faults for another table."""
    made = []
    described = await _described(table)
    if described is None:
        await _make(table)
        made.append("table")
    else:
        _check_keys(table, described)
        for name in INDEXES:
            if name not in {index["IndexName"] for index in described.get("GlobalSecondaryIndexes", ())}:
                await _add_index(table, name)
                made.append(name)
    await _until_active(table)
    return made


async def _make(table: Table) -> None:
    """Create it; somebody else may be doing so at this moment."""
    try:
        await table.call(
            "create_table",
            KeySchema=_schema(_KEYS),
            AttributeDefinitions=_definitions(_KEYS, *(keys for keys, _ in INDEXES.values())),
            BillingMode="PAY_PER_REQUEST",
            GlobalSecondaryIndexes=[_index(name) for name in INDEXES],
        )
    except Permanent as error:
        if error.type != "ResourceInUseException":
            raise


async def _add_index(table: Table, name: str) -> None:
    await table.call(
        "update_table",
        AttributeDefinitions=_definitions(INDEXES[name][0]),
        GlobalSecondaryIndexUpdates=[{"Create": _index(name)}],
    )
    await _until_active(table)  # one index at a time


async def _until_active(table: Table) -> None:
    """Wait until the table and all its indexes can be used."""
    async with asyncio.timeout(_MADE_S):
        while True:
            described = await _described(table) or {}
            states = [index["IndexStatus"] for index in described.get("GlobalSecondaryIndexes", ())]
            if {described.get("TableStatus"), *states} == {"ACTIVE"}:
                return
            await asyncio.sleep(_POLL_S)


async def _expires(table: Table) -> bool:
    """Have old items forgotten by DynamoDB itself, unless they are; tell whether that was to do."""
    answer = await table.call("describe_time_to_live")
    if answer["TimeToLiveDescription"]["TimeToLiveStatus"] in ("ENABLED", "ENABLING"):
        return False
    expiry = {"Enabled": True, "AttributeName": "expires"}
    await table.call("update_time_to_live", TimeToLiveSpecification=expiry)
    return True


async def _described(table: Table) -> dict[str, Any] | None:
    try:
        answer = await table.call("describe_table")
    except Permanent as error:
        if error.type == "ResourceNotFoundException":
            return None
        raise
    found: dict[str, Any] = answer["Table"]
    return found


def _check_keys(table: Table, described: Mapping[str, Any]) -> None:
    found = {key["AttributeName"]: key["KeyType"] for key in described["KeySchema"]}
    if found != _KEYS:
        names = ", ".join(found)
        raise Faults([f"table {table.name!r} (RUN_TABLE) has the keys {names}, not pk and sk: name a table of its own"])


def refused(table: Table, error: Exception) -> Faults:
    """Say that the table cannot be used now, or not at all."""
    if isinstance(error, Permanent) and error.type == "ResourceNotFoundException":
        return Faults([_said(table, "", error)])
    why = "cannot be asked" if isinstance(error, (Transient, Throttled)) else "refuses"
    return Faults([f"table {table.name!r} (RUN_TABLE) {why}: {error}"])


def _index(name: str) -> dict[str, Any]:
    keys, told = INDEXES[name]
    projection = (
        {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(told)} if told else {"ProjectionType": "KEYS_ONLY"}
    )
    return {"IndexName": name, "KeySchema": _schema(keys), "Projection": projection}


def _schema(keys: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()]


def _definitions(*keys: Mapping[str, str]) -> list[dict[str, str]]:
    names = sorted({name for part in keys for name in part})
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]
