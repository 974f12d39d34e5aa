"""A connection to PostgreSQL that is made again when it was lost, and the words for what the server says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import asyncpg

from worker.errors import Transient

_AWAY = ("08", "53", "57", "40", "55", "25P03")
"""SQLSTATEs that pass by themselves: connection, resources, operator (shutdown, cancelled), rollback, lock; a transaction
that the server ended because we were silent in it for too long."""
_READ_ONLY = "25006"
"""What a primary that became a replica says to a write: a failover is under way."""
_REFUSED = ("28", "3D", "42501")
"""SQLSTATE of credentials, database or rights that are wrong: waiting would not help."""
_COMMAND_TIMEOUT_S = 60.0
_GOODBYE_S = 0.5


def is_away(error: BaseException) -> bool:
    """Tell whether an error says that the database cannot be used for now, rather than that the request is wrong."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return (state.startswith(_AWAY) or state == _READ_ONLY) and not is_refused(error)
    if isinstance(error, asyncpg.InterfaceError):
        return "clos" in str(error) or "released" in str(error) or "in progress" in str(error)
    return isinstance(error, (OSError, TimeoutError, asyncpg.InternalClientError))


def is_refused(error: BaseException) -> bool:
    """Tell whether the server refuses these credentials, this database or this right."""
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "").startswith(_REFUSED)


def where(url: str) -> str:
    """Name a database without its password: host, port and name."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}:{parts.port or 5432}{parts.path or '/'}"


class Link:
    """One connection for one purpose, used by one coroutine at a time; reconnects by itself, raises `Transient` when away."""

    def __init__(self, url: str, purpose: str, *, timeout_s: float = 10.0) -> None:
        self.url = url
        self._purpose, self._timeout_s = purpose, timeout_s
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
        """Lend the connection; an error that says the database is away comes out as `Transient`, and the next use connects anew."""
        async with self._one_at_a_time:
            try:
                yield await self._connected()
            except asyncio.CancelledError:
                self._forget()  # it may be in the middle of an answer
                raise
            except Exception as error:
                if not is_away(error):
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
            self._connection = await asyncpg.connect(
                self.url,
                timeout=self._timeout_s,
                command_timeout=_COMMAND_TIMEOUT_S,
                server_settings={"application_name": f"worker {self._purpose}"},
            )
        return self._connection

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


def said(error: BaseException) -> str:
    """Give an error's own words, or its type where it has none (a time-out)."""
    return str(error).strip() or type(error).__name__
