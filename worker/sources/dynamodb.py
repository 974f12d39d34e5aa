"""Read a DynamoDB table or index by Scan or Query.

A source is one segment of a parallel scan, for each segment has a position of its own: a shard reads one, of a scan that names none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.job import Run
from worker.sources.dynamodb_asked import Asked
from worker.sources.dynamodb_items import DynamoDBItems, DynamoDBScan


def scan(
    run: Run[Any],
    table: str,
    *,
    filter: str | None = None,  # noqa: A002 - what DynamoDB calls it
    values: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
    projection: Sequence[str] = (),
    index: str | None = None,
    consistent: bool = False,
    segment: int = 0,
    of: int = 1,
    rcu: float | None = None,
) -> DynamoDBItems:
    """Read a whole table or index, or one segment of it: `segment` 0 to `of` - 1.

    `filter` is a filter expression, with Python `values={":now": …}` and `names={"#name": "name"}`; `projection` names the
    attributes that are wanted, the key's come anyway. `rcu` bounds the read capacity units a second, on the average.
    Raises ValueError for a segment that is none.
    """
    if not 0 <= segment < of:
        raise ValueError(f"a scan in {of} segments has no segment {segment}: they count from 0")
    part = {"Segment": segment, "TotalSegments": of} if of > 1 else {}
    asked = Asked(
        table=table,
        index=index,
        filter=filter,
        values=values or {},
        names=names or {},
        projection=projection,
        how={"ConsistentRead": consistent, **part},
    )
    if part:
        return DynamoDBItems(run, asked, f", segment {segment} of {of}", rcu)
    return DynamoDBScan(run, asked, "", rcu)


def query(
    run: Run[Any],
    table: str,
    key_condition: str,
    *,
    values: Mapping[str, Any] | None = None,
    names: Mapping[str, str] | None = None,
    filter: str | None = None,  # noqa: A002 - what DynamoDB calls it
    projection: Sequence[str] = (),
    index: str | None = None,
    consistent: bool = False,
    descending: bool = False,
    rcu: float | None = None,
) -> DynamoDBItems:
    """Read the items of one partition key by `key_condition`, in the order of their sort key; the rest is as for `scan`."""
    asked = Asked(
        table=table,
        index=index,
        key_condition=key_condition,
        filter=filter,
        values=values or {},
        names=names or {},
        projection=projection,
        how={"ConsistentRead": consistent, "ScanIndexForward": not descending},
    )
    return DynamoDBItems(run, asked, " desc" if descending else "", rcu)
