"""Divide the rows of a query into parts of equal size: by row number over its key, or by a sample of its table."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from worker.database import Link
from worker.errors import Permanent
from worker.source import Bounds, JsonKey, Key
from worker.sources.postgres_sql import Statements, quoted

if TYPE_CHECKING:
    Connection = asyncpg.Connection[Any]

_EXACT_MS = 20_000
"""An index of a hundred million keys is read in about that time."""
_SAMPLE_MS = 20_000
_SAMPLE = 50_000
_ENOUGH = 50
"""Of a sample, for each part; fewer of the query's own rows say less than many of its table's."""

_LARGEST = """
SELECT coalesce(pg_partition_root(c.oid), c.oid)::regclass::text AS name, sum(greatest(c.reltuples, 0))::float8 AS rows
FROM (SELECT DISTINCT unnest($1::text[])::regclass AS oid) AS named JOIN pg_class c ON c.oid = named.oid
WHERE (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped)
    = cardinality($2::text[])
GROUP BY 1 ORDER BY 2 DESC LIMIT 1"""
"""The largest table in a plan that has the key's columns; partitions count together."""


async def divide(
    link: Link,
    sql: Statements,
    arguments: Sequence[Any],
    parts: int,
    encode: Callable[[Key], JsonKey],
    exact_ms: int = _EXACT_MS,
) -> Bounds:
    """Find the keys; where there are too few rows, fewer keys."""
    async with link.using() as connection:
        try:
            rows = await _exact(connection, sql, arguments, parts, exact_ms)
        except asyncpg.QueryCanceledError:
            rows = await _sampled(connection, sql, arguments, parts)
    return [encode(tuple(row)) for row in rows]


async def _exact(
    connection: "Connection", sql: Statements, arguments: Sequence[Any], parts: int, exact_ms: int
) -> Sequence[Any]:
    """Take the rows at the quantiles, in two passes over the key's index."""
    async with connection.transaction(readonly=True, isolation="repeatable_read"):
        await connection.execute(f"SET LOCAL statement_timeout = {exact_ms}")
        count = await connection.fetchval(sql.count, *arguments)
        return await connection.fetch(sql.at_places, *arguments, _places(count, parts))


async def _sampled(connection: "Connection", sql: Statements, arguments: Sequence[Any], parts: int) -> Sequence[Any]:
    """Take the quantiles of a sample of the table's keys; of those that the query selects, where they are enough."""
    plan = msgspec.json.decode(await connection.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) {sql.all}", *arguments))
    named = [f"{quoted(n['Schema'])}.{quoted(n['Relation Name'])}" for n in _nodes(plan[0]["Plan"]) if "Schema" in n]
    table = await connection.fetchrow(_LARGEST, named, list(sql.columns))
    if table is None:
        raise Permanent(
            f"the query is too slow to be divided by counting, and no table in it has its key's columns {sql.names}: "
            "call them as the table does",
            "CannotDivide",
        )
    share = min(100.0, 100.0 * _SAMPLE / max(1.0, table["rows"]))
    taken = f"SELECT {sql.names} FROM {table['name']} TABLESAMPLE SYSTEM ({share:.9f})"
    ours = await _within(connection, f"SELECT * FROM ({taken}) AS taken ORDER BY {sql.order}")
    try:
        columns = [list(column) for column in zip(*ours, strict=True)] or [[] for _ in sql.columns]
        selected = await _within(connection, f"{sql.by_key} ORDER BY {sql.order}", *arguments, *columns)
    except asyncpg.QueryCanceledError:
        selected = []
    if len(selected) >= _ENOUGH * parts:
        ours = [[row[name] for name in sql.columns] for row in selected]
    return [ours[place - 1] for place in _places(len(ours), parts)]


async def _within(connection: "Connection", sql: str, *arguments: Any) -> list[Any]:
    async with connection.transaction(readonly=True):
        await connection.execute(f"SET LOCAL statement_timeout = {_SAMPLE_MS}")
        return await connection.fetch(sql, *arguments)


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", ()) for node in _nodes(inner))]


def _places(count: int, parts: int) -> list[int]:
    """Give the places, from 1, of the last record of each part but the last; each once."""
    return sorted({count * number // parts for number in range(1, parts)} - {0, count})
