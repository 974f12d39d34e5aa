"""Which run store: PostgreSQL where DATABASE_URL is set, else the DynamoDB table RUN_TABLE; only the libraries of that are loaded."""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol

from worker import registry
from worker.claim import Store
from worker.environment import Settings, settings
from worker.errors import Faults
from worker.launches import Launches
from worker.portions import Portions
from worker.runs import Reader
from worker.store.books import Books

NONE = (
    "DATABASE_URL is not set: postgresql://user@host:5432/name (or use --local, or python -m worker local); "
    "a job that has no PostgreSQL keeps its runs in the DynamoDB table RUN_TABLE, which is not set either"
)


class Room(Protocol):
    """What database.py and table.py both have: the ways to one kind of run store."""

    def where(self, found: Settings) -> str:
        """Name it, without secrets."""
        ...

    def opened(self, found: Settings, job: str) -> AbstractAsyncContextManager[Store]:
        """Give it to an attempt; what is wrong with it is found by its `check`."""
        ...

    def sharing(self, found: Settings, job: str) -> AbstractAsyncContextManager[Portions]:
        """Lend the ledgers of shared rate limits to an attempt."""
        ...

    def serving(self, found: Settings) -> AbstractAsyncContextManager[Reader]:
        """Lend what answers questions about runs, for long: where it cannot be asked for a while, each answer says so."""
        ...

    def reading(self, found: Settings) -> AbstractAsyncContextManager[Reader]:
        """Lend what answers questions about runs, for now. Raises Faults where there is no run store, or it refuses, Transient where it is away."""
        ...

    def launching(self, found: Settings) -> AbstractAsyncContextManager[Launches]:
        """Lend the launches to a launcher. Raises Faults where there is no run store, or it refuses, Transient where it is away."""
        ...

    def watching(self, found: Settings) -> AbstractAsyncContextManager[Books]:
        """Lend all that is known of runs, launches and what was said of them; where it cannot be asked, each answer says so."""
        ...

    async def made(self, found: Settings) -> list[str]:
        """Make what it lacks; give the names of that. Raises Faults where it refuses, Transient where it is away."""
        ...

    async def pruned(self, found: Settings, keep: timedelta) -> int:
        """Forget the runs that ended longer ago; give their number. Raises Transient where it is away."""
        ...


def room(found: Settings) -> Room:
    """Choose. Raises Faults where neither is named."""
    if found.database_url:
        from worker.cli import database

        return database
    if found.run_table:
        from worker.cli import table

        return table
    raise Faults([NONE])


def reading() -> AbstractAsyncContextManager[Reader]:
    """Lend what answers questions about runs. Raises Faults where there is no run store, Transient where it is away."""
    found = settings()
    return room(found).reading(found)


async def unknown(reader: Reader, run_id: str, why: str = "") -> Faults:
    """Say that there is no such run; of a run key alone, whose it may be."""
    named = [f"{job}:{run_id}" for job in registry.names()] if ":" not in run_id else []
    if near := [name for name in named if await reader.find(name)]:
        return Faults([f"no run {run_id!r}; did you mean {' or '.join(near)}?"])
    return Faults([f"no run {run_id!r}{why}: python -m worker runs lists them"])


def migrate_store() -> int:
    """Make the run store, or bring it up to date."""
    found = settings()
    chosen = room(found)
    made = asyncio.run(chosen.made(found))
    sys.stdout.write(f"{chosen.where(found)}: {', '.join(made) or 'nothing to do'}\n")
    return 0
