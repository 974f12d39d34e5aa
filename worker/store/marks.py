"""Marks in PostgreSQL: one statement that sets them and tells whether they are new."""

from worker.database import Link
from worker.marks import Mark

_MARK = """
INSERT INTO worker.marks (key, value) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, at = now() WHERE marks.value <> excluded.value
RETURNING true"""


class PostgresMarks:
    """The marks of the run store; see `Marks`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def mark(self, key: str, value: str = "") -> bool:
        """Set a mark; False where it was set to that value before."""
        async with self._link.using() as connection:
            return bool(await connection.fetchval(_MARK, key, value))

    async def marked(self, key: str) -> Mark | None:
        """Give a mark, where it is set."""
        async with self._link.using() as connection:
            row = await connection.fetchrow("SELECT value, at FROM worker.marks WHERE key = $1", key)
        return Mark(row["value"], row["at"]) if row else None
