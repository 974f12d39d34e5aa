"""A PostgreSQL table to be read from, by one key or several, ascending or descending."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

from worker.database import Link
from worker.source import Record
from worker.sources.postgres import PostgresQuery, query

_TABLE = "CREATE TABLE item (id bigint PRIMARY KEY, shop int NOT NULL, version int NOT NULL DEFAULT 0)"
_INSERT = "INSERT INTO item (id, shop) SELECT id, id % 3 FROM unnest($1::bigint[]) AS id ON CONFLICT DO NOTHING"


class PostgresWorld:
    """A table; `key` is what it is read by."""

    lacks: dict[str, str] = {}  # noqa: RUF012 - what a world says of itself

    def __init__(self, database_url: str, key: str | Sequence[str] = "id") -> None:
        self._link, self._key = Link(database_url, "world"), key

    async def __aenter__(self) -> Self:
        await self._do(_TABLE)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._link.close()

    async def source(self) -> PostgresQuery:
        """Give a source over the table."""
        source = query("SELECT * FROM item", key=self._key)
        source.connect(self._link, self._link)
        assert await source.check() == []
        return source

    async def insert(self, ids: Iterable[int]) -> None:
        """Add rows."""
        await self._do(_INSERT, list(ids))

    async def delete(self, ids: Iterable[int]) -> None:
        """Delete rows."""
        await self._do("DELETE FROM item WHERE id = ANY($1)", list(ids))

    async def change(self, ids: Iterable[int]) -> None:
        """Update rows."""
        await self._do("UPDATE item SET version = version + 1 WHERE id = ANY($1)", list(ids))

    def id(self, record: Record) -> int:
        """Give the row's id."""
        return int(record["id"])

    def version(self, record: Record) -> int:
        """Give the row's version."""
        return int(record["version"])

    async def _do(self, sql: str, *arguments: Any) -> None:
        async with self._link.using() as connection:
            await connection.execute(sql, *arguments)


def by(*key: str) -> Callable[[str], PostgresWorld]:
    """Make a world that is read by this key."""

    def made(database_url: str) -> PostgresWorld:
        return PostgresWorld(database_url, key)

    return made


WORLDS = {
    "postgres": by("id"),
    "postgres descending": by("id desc"),
    "postgres composite": by("shop", "id"),
}
