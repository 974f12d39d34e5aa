"""What many tests share: one real PostgreSQL, and a fresh database on it for each test that asks."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from worker.local.postgres import Postgres

pytest_plugins = ["worker.testing.plugin"]

# looptime asks for the current event loop before each test, and Python 3.11 would make one, which nobody closes, if the first
# test of a session is not async.
asyncio.set_event_loop(None)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server() -> AsyncIterator[Postgres]:
    """Give the session's server; it is not bound to an event loop. A test that stops or crashes it starts its own instead."""
    async with Postgres() as server:
        yield server


@pytest_asyncio.fixture
async def database_url(postgres_server: Postgres) -> AsyncIterator[str]:
    """Give a fresh, empty database, dropped afterwards."""
    url = await postgres_server.database()
    yield url
    await postgres_server.drop(url)
