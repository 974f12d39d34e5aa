"""Query PostgreSQL from `process`: a small pool of connections to the run's database, read-only in a dry run."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg

from worker.database import is_away, is_refused, said, where
from worker.errors import Faults, Permanent, Transient
from worker.job import Connection, Run
from worker.source import Record

_SIZE = 4
_CONNECT_S = 10.0
_GOODBYE_S = 2.0
_READ_ONLY = "25006"
_ROWS = 500


class Database:
    """The run's database, beside the page commit: `self.database = await run.enter(Database(run))`.

    What is done here is not part of the page commit: it may be done again after a crash, so doing it twice must do no harm.
    `size` connections are opened when first used; whoever wants another one waits. Raises Transient while the database is
    away, Permanent with PostgreSQL's name of the error for what it refuses.
    """

    def __init__(self, run: Run[Any], *, size: int = _SIZE) -> None:
        if not run.database_url:
            raise Faults([f"{run.job} works on PostgreSQL: set DATABASE_URL"])
        self._run, self._size = run, size
        self._pool: Any = None

    async def __aenter__(self) -> "Database":
        settings = {"application_name": f"worker {self._run.job} process"}
        if self._run.dry_run:
            settings["default_transaction_read_only"] = "on"
        self._pool = await asyncpg.create_pool(
            self._run.database_url,
            min_size=0,  # the run store's own check has tried the address by now
            max_size=self._size,
            timeout=_CONNECT_S,
            server_settings=settings,
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._pool.close()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._pool.terminate()

    async def fetch(self, sql: str, *arguments: Any) -> Sequence[Record]:
        """Give the rows of a query, all at once."""
        async with self._connection() as connection:
            rows: Sequence[Record] = await connection.fetch(sql, *arguments)
            return rows

    async def rows(self, sql: str, *arguments: Any) -> AsyncIterator[Record]:
        """Give the rows of a query as they come, in flat memory, all as of one moment."""
        async with self.transaction() as connection:
            async for row in connection.cursor(sql, *arguments, prefetch=_ROWS):
                yield row

    async def execute(self, sql: str, *arguments: Any) -> int:
        """Execute a statement and give how many rows it wrote."""
        async with self._connection() as connection:
            return affected(await connection.execute(sql, *arguments))

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Give a connection (asyncpg's) in a transaction: all that is done with it is done, or nothing."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise _translated(error, self._run) from error


def affected(status: str) -> int:
    """Read how many rows were written from what PostgreSQL says of a statement: `INSERT 0 5`."""
    count = status.rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0


def _translated(error: Exception, run: Run[Any]) -> Exception:
    database = where(run.database_url)
    if run.dry_run and getattr(error, "sqlstate", None) == _READ_ONLY:
        return Permanent(f"a dry run writes nothing to {database}: return before it if run.dry_run", "dry run")
    if is_away(error):
        return Transient(f"database {database}: {said(error)}")
    if is_refused(error):
        return Permanent(f"database {database} refuses it: {said(error)}", type(error).__name__)
    return Permanent(f"database {database}: {said(error)}", type(error).__name__)
