"""Open what the functions that watch need: run store, channels, and a launcher where the environment names a cluster."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from worker.aws.calls import Calls
from worker.aws.cluster import Cluster
from worker.aws.launcher import Launcher
from worker.claim import Store
from worker.cli.store import room
from worker.environment import VARIABLES, Settings, settings
from worker.functions import secrets
from worker.functions.telling import Teller
from worker.launches import Answer
from worker.mask import Mask
from worker.report import logs
from worker.store.books import Books

Launch: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Doors:
    """The ways out."""

    found: Settings
    mask: Mask
    books: Books
    teller: Teller
    store: Callable[[str], AbstractAsyncContextManager[Store]]
    """The run store as an attempt at that job uses it."""
    launch: Launch | None = None
    """Starts a run; None where the environment names no cluster to start it in."""


@asynccontextmanager
async def opened() -> AsyncIterator[Doors]:
    """Open them by the environment. Raises Faults where it is malformed, or names no run store."""
    await secrets.fill()
    found = settings()
    mask = Mask(os.environ.get(variable.name) for variable in VARIABLES if variable.secret)
    logs.configure(found.log_format or "json", found.log_level, mask)
    async with AsyncExitStack() as stack:
        books = await stack.enter_async_context(room(found).watching(found))
        launch = None
        if found.launch_cluster:
            calls = await stack.enter_async_context(Calls("reporter"))
            launch = Launcher(books.launches, calls, Cluster.of(found)).launch
        store = partial(room(found).opened, found)
        yield Doors(found, mask, books, Teller(found, books.marks, mask), store, launch)
