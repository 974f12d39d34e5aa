"""A connection to PostgreSQL that is made again when it was lost, and the words for what the server says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

from worker.errors import Faults, Transient

_AWAY = ("08", "53", "57", "40", "55006", "55P03", "25006", "25P03", "25P04")
"""SQLSTATEs that pass by themselves: connection, resources, operator (shutdown, cancelled), rollback, lock; a primary that
became a replica (a failover is under way: READ_ONLY); a session that the server ended because a transaction of it took too long."""
READ_ONLY = "25006"
_REFUSED = ("28", "3D", "42501")
"""SQLSTATE of credentials, database or rights that are wrong: waiting would not help."""
_COMMAND_TIMEOUT_S = 60.0
_GOODBYE_S = 0.5


def is_away(error: BaseException) -> bool:
    """Tell whether an error says that the database cannot be used for now, rather than that the request is wrong."""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return True  # a table changed under a prepared statement: a new connection prepares it anew
    if isinstance(error, asyncpg.PostgresError):
        return (error.sqlstate or "").startswith(_AWAY)
    if isinstance(error, asyncpg.InterfaceError):
        return str(error).endswith("connection is closed")  # others quote values, which may say anything
    return isinstance(error, (OSError, TimeoutError, asyncpg.InternalClientError))


def is_refused(error: BaseException) -> bool:
    """Tell whether the server refuses these credentials, this database or this right."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_REFUSED)


def where(url: str) -> str:
    """Name a database by host, port and name: without user, password and options."""
    parts, options = urlsplit(url), dict(parse_qsl(urlsplit(url).query))
    host = unquote(parts.netloc.rpartition("@")[2]) or options.get("host", "localhost")
    port = "" if host.rpartition(":")[2].isdecimal() else f":{options.get('port', 5432)}"
    return f"{host}{port}/{parts.path.lstrip('/') or options.get('database') or options.get('dbname', '')}"


class Link:
    """One connection for one purpose, used by one coroutine at a time; reconnects by itself, raises `Transient` when away."""

    def __init__(self, url: str, purpose: str, *, timeout_s: float = 10.0, read_only: bool = False) -> None:
        self.url = url
        self._options = {"application_name": f"worker {purpose}"}
        if read_only:
            self._options["default_transaction_read_only"] = "on"
        self._timeout_s, self._read_only = timeout_s, read_only
        self._connection: asyncpg.Connection[Any] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def using(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """Lend the connection; an error that says the database is away comes out as `Transient`, and the next use connects anew.

        Raises Faults where the server does not let us in: wrong credentials, no such database, an option it does not know.
        """
        async with self._one_at_a_time:
            try:
                yield await self._connected()
            except asyncio.CancelledError:
                self._forget()  # it may be in the middle of an answer
                raise
            except Exception as error:
                if not is_away(error) or (self._read_only and getattr(error, "sqlstate", None) == READ_ONLY):
                    raise
                self._forget()
                raise Transient(f"database {where(self.url)}: {said(error)}") from error

    async def close(self) -> None:
        """Close the connection, without waiting long for a server that does not answer."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=_GOODBYE_S)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    async def _connected(self) -> "asyncpg.Connection[Any]":
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await self._connect()
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                if is_away(error):
                    raise
                raise Faults([f"database {where(self.url)} refuses the connection: {said(error)}"]) from error
            except ValueError as error:  # its words may quote any part of the URL
                raise Faults(
                    [f"the URL of database {where(self.url)} is malformed (its value is not shown)"]
                ) from error
        return self._connection

    async def _connect(self) -> "asyncpg.Connection[Any]":
        return await asyncpg.connect(
            self.url,
            timeout=self._timeout_s,
            command_timeout=_COMMAND_TIMEOUT_S,
            server_settings=self._options,
        )

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def said(error: BaseException) -> str:
    """Give an error's own words, or its type where it has none (a time-out)."""
    return str(error).strip() or type(error).__name__
