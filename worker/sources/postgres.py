"""Page through a PostgreSQL query by the values of its key columns (keyset pagination)."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import asyncpg
import msgspec

from worker.database import Link, is_refused, said
from worker.errors import Permanent
from worker.source import Bounds, JsonKey, Key, Page, Promise, Record, part
from worker.sources.postgres_parts import divide
from worker.sources.postgres_sql import Statements

_DECODE: dict[str, Callable[[Any], Any]] = {
    "int2": int,
    "int4": int,
    "int8": int,
    "text": str,
    "varchar": str,
    "bpchar": str,
    "uuid": UUID,
    "numeric": Decimal,
    "timestamptz": datetime.fromisoformat,
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
}
"""How a key column's value is read back from the run store, by the name of its type."""

_COUNT_TIMEOUT_MS = 2_000
_COUNT_SETTINGS = f"SET LOCAL statement_timeout = {_COUNT_TIMEOUT_MS}; SET LOCAL max_parallel_workers_per_gather = 0"
"""One core of the database at most, so that counting a large table takes nothing from the pages that are read meanwhile."""
_NULLS_TIMEOUT_MS = 1_000


def query(sql: str, *arguments: Any, key: str | Sequence[str], replica: bool = True) -> "PostgresQuery":
    """Read the rows of a SELECT in the order of `key`, one column or several, all ascending or all `"… desc"`.

    The key must be unique, not null and never change; an index that begins with it keeps every page fast. `arguments` are
    the values of `$1`, `$2` …; values never become part of the SQL. `replica=False` reads from the primary even where there is a
    REPLICA_URL: for jobs whose calls must not be repeated for what the run before has done.
    """
    return PostgresQuery(sql, arguments, (key,) if isinstance(key, str) else tuple(key), replica)


class PostgresQuery:
    """A keyset over one SELECT; the front door gives it its connection by `connect`."""

    promise = Promise.STABLE

    def __init__(self, sql: str, arguments: Sequence[Any], key: Sequence[str], replica: bool = True) -> None:
        self._arguments, self._replica = tuple(arguments), replica
        parsed = [_column(name) for name in key]
        self._columns = tuple(name for name, _ in parsed)
        if not all(self._columns) or len({descending for _, descending in parsed}) != 1:
            raise ValueError(f"a key is columns that are all ascending or all descending, not {key!r}")
        self._descending = parsed[0][1]
        self.order = ", ".join(self._columns) + (" desc" if self._descending else "")
        self._decoders: tuple[Callable[[Any], Any], ...] = ()
        self._one = self._columns[0] if len(self._columns) == 1 else None
        self._sql = Statements(sql.strip().rstrip(";"), len(arguments), self._columns, self._descending)
        self._link: Link | None = None
        self._aside: Link | None = None
        self._primary: Link | None = None

    async def bounds(self, parts: int) -> Bounds:
        """Find the keys that divide the rows into parts of equal size; where counting them takes too long, from a sample."""
        return await divide(self._aside_link, self._sql, self._arguments, parts, self.encode)

    def narrow(self, number: int, parts: int, bounds: Bounds) -> None:
        """Read one part alone; the job's own SQL stays as it is."""
        ends = part(number, parts, bounds)
        after, until = (None if end is None else self.decode(end) for end in ends or (None, None))
        self._sql = self._sql.within(after, until, nothing=ends is None)
        self._arguments = (*self._arguments, *(after or ()), *(until or ()))

    def connect(self, link: Link, aside: Link, primary: Link | None = None) -> None:
        """Read through this link, and count, which may take its time, through the one aside.

        Where those are a replica's, `primary` is for records that are read again: what a replica would give may be as old.
        """
        self._link = primary if primary is not None and not self._replica else link
        self._aside, self._primary = aside, primary

    @property
    def link(self) -> Link:
        """Give the link that `connect` was given."""
        assert self._link is not None, "the front door connects a source before it is read"
        return self._link

    @property
    def _aside_link(self) -> Link:
        assert self._aside is not None, "the front door connects a source before it is read"
        return self._aside

    def key(self, record: Record) -> Key:
        """Give the values of the key columns."""
        if self._one is not None:
            return (record[self._one],)
        return tuple([record[name] for name in self._columns])

    def encode(self, key: Key) -> JsonKey:
        """Give a key as JSON values: numbers and texts as they are, all else in its text form."""
        return [
            value if isinstance(value, (int, str)) else value.isoformat() if hasattr(value, "isoformat") else str(value)
            for value in key
        ]

    def decode(self, key: JsonKey) -> Key:
        """Read what `encode` gave, by the types that `check` found."""
        return tuple([decode(value) for decode, value in zip(self._decoders, key, strict=True)])

    async def check(self) -> list[str]:
        """Try the query: is it sound and allowed, and are the key columns there, of types that can be a cursor."""
        try:
            async with self.link.using() as connection:
                faults = await self._try(connection)
            if not faults and self._primary is not None:  # whose rights may be others
                async with self._primary.using() as connection:
                    await connection.fetch(self._sql.first, *self._arguments, 0)
            return faults
        except (asyncpg.DataError, asyncpg.InterfaceError) as error:
            return [f"the job's query does not fit its arguments: {said(error)}"]
        except asyncpg.PostgresError as error:
            if is_refused(error):
                return [f"the database refuses the job's query: {said(error)}"]
            at = self._sql.at(error.position)
            return [f"the job's query is not sound: {said(error)}{f', at: {at}' if at else ''}"]

    async def page(self, after: Key | None, size: int) -> Page:
        """Read the next rows after a key. Raises Permanent where a key is not unique: the page after it would lose a row."""
        sql, position = (self._sql.first, ()) if after is None else (self._sql.next, after)
        async with self.link.using() as connection:
            rows = await connection.fetch(sql, *self._arguments, *position, size + 1)
        if len(rows) <= size:
            return Page(rows, None)
        if self.key(rows[size]) == self.key(rows[size - 1]):
            named = f"{', '.join(self._columns)} = {', '.join(map(str, self.key(rows[size])))}"
            raise Permanent(
                f"the key is not unique: two rows have {named}, and paging would lose one; add a column to the key",
                "KeyNotUnique",
            )
        return Page(rows[:size], self.key(rows[size - 1]))

    async def count(self, after: Key | None) -> int | None:
        """Count the rows after a key, for at most two seconds; then give the planner's estimate."""
        sql, position = (self._sql.count, ()) if after is None else (self._sql.count_next, after)
        async with self._aside_link.using() as connection, connection.transaction(readonly=True):
            await connection.execute(_COUNT_SETTINGS)
            try:
                async with connection.transaction():
                    return cast("int", await connection.fetchval(sql, *self._arguments, *position))
            except asyncpg.QueryCanceledError:
                rows = self._sql.all if after is None else self._sql.all_next
                plan = await connection.fetchval("EXPLAIN (FORMAT JSON) " + rows, *self._arguments, *position)
                return int(msgspec.json.decode(plan)[0]["Plan"]["Plan Rows"])

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Read the rows with these keys afresh, from the primary."""
        if not keys:
            return []
        position = [list(column) for column in zip(*keys, strict=True)]
        async with (self._primary or self.link).using() as connection:
            return await connection.fetch(self._sql.by_key, *self._arguments, *position)

    async def _try(self, connection: "asyncpg.Connection[Any]") -> list[str]:
        statement = await connection.prepare(self._sql.all)
        wants, given = len(statement.get_parameters()), len(self._arguments)
        if wants != given:
            return [f"the job's query has {wants} arguments ($1 …) and is given {given}"]
        faults = self._learn({attribute.name: attribute.type.name for attribute in statement.get_attributes()})
        if not faults:  # rights and values are looked at when it is run, were it for no rows
            await connection.fetch(self._sql.first, *self._arguments, 0)
            faults = await self._find_nulls(connection)
        return faults

    async def _find_nulls(self, connection: "asyncpg.Connection[Any]") -> list[str]:
        """Look whether a key is null, which paging would pass over; for a second at most, an index answers at once."""
        try:
            async with connection.transaction(readonly=True):
                await connection.execute(f"SET LOCAL statement_timeout = {_NULLS_TIMEOUT_MS}")
                found = await connection.fetchval(self._sql.nulls, *self._arguments)
        except asyncpg.QueryCanceledError:
            return []
        columns = ", ".join(self._columns)
        return (
            [f"the key {columns} is null in some rows, which paging would never read: choose a key that is not"]
            if found
            else []
        )

    def _learn(self, types: dict[str, str]) -> list[str]:
        missing = [name for name in self._columns if name not in types]
        if missing:
            return [f"key column {name!r} is not among the query's columns ({', '.join(types)})" for name in missing]
        unknown = [name for name in self._columns if types[name] not in _DECODE]
        if unknown:
            return [f"key column {name!r} is {types[name]}; a cursor can be {', '.join(_DECODE)}" for name in unknown]
        self._decoders = tuple(_DECODE[types[name]] for name in self._columns)
        self._sql.learn([types[name] for name in self._columns])
        return []


def _column(name: str) -> tuple[str, bool]:
    """Split a key column's name from its direction; tell whether that is descending."""
    column, _, direction = name.strip().rpartition(" ")
    if column and direction.lower() in ("asc", "desc"):
        return column.strip(), direction.lower() == "desc"
    return name.strip(), False
