"""The run store in PostgreSQL: the ways to it that store.py offers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from worker.database import Link, is_refused, said
from worker.database import where as name_of
from worker.environment import Settings
from worker.errors import Faults
from worker.store.books import Books
from worker.store.launches import PostgresLaunches
from worker.store.marks import PostgresMarks
from worker.store.migrate import migrate, migrations, version
from worker.store.portions import PostgresPortions
from worker.store.postgres import PostgresStore
from worker.store.pruning import prune
from worker.store.reading import RunReader

_NOT_MADE = "the run store's schema is not there, or not up to date: run python -m worker migrate"


def where(found: Settings) -> str:
    """Name the database: host, port and name."""
    return name_of(_url(found))


@asynccontextmanager
async def opened(found: Settings, job: str) -> AsyncIterator[PostgresStore]:
    """Give the run store to an attempt."""
    async with Link(_url(found), f"{job} store") as link:
        yield PostgresStore(link, found.lease_s)


@asynccontextmanager
async def sharing(found: Settings, job: str) -> AsyncIterator[PostgresPortions]:
    """Lend the ledgers of shared rate limits to an attempt, on a connection of their own."""
    async with Link(_url(found), f"{job} rates") as link:
        yield PostgresPortions(link)


@asynccontextmanager
async def serving(found: Settings) -> AsyncIterator[RunReader]:
    """Lend what answers questions about runs, for long."""
    async with Link(_url(found), "serve") as link:
        yield RunReader(link)


@asynccontextmanager
async def reading(found: Settings) -> AsyncIterator[RunReader]:
    """Lend what answers questions about runs, for now. Raises Faults where there is no run store, or it refuses, Transient where it is away."""
    async with Link(_url(found), "runs") as link:
        with _refusing(link, "the run store"):
            if await version(link) < migrations()[-1].version:
                raise Faults([_NOT_MADE])
            yield RunReader(link)


@asynccontextmanager
async def launching(found: Settings) -> AsyncIterator[PostgresLaunches]:
    """Lend the launches to a launcher. Raises Faults where the database refuses or lacks them, Transient where it is away."""
    async with Link(_url(found), "launches") as link:
        with _refusing(link, "the launches"):
            if await version(link) < migrations()[-1].version:
                raise Faults([_NOT_MADE])
            yield PostgresLaunches(link)


@asynccontextmanager
async def watching(found: Settings) -> AsyncIterator[Books]:
    """Lend all that is known of runs, launches and what was said of them; where it cannot be asked, each answer says so."""
    async with Link(_url(found), "watch") as link:
        yield Books(RunReader(link), PostgresMarks(link), PostgresLaunches(link))


async def made(found: Settings) -> list[str]:
    """Bring the schema up to date; give the names of the migrations that were missing."""
    return await migrated(_url(found))


async def pruned(found: Settings, keep: timedelta) -> int:
    """Forget the runs that ended longer ago, a little at a time; give their number."""
    async with Link(_url(found), "prune") as link:
        with _refusing(link, "the run store"):
            return await prune(link, keep)


async def migrated(url: str) -> list[str]:
    """Apply the migrations that are missing. Raises Faults where the database refuses, Transient where it is away."""
    async with Link(url, "migrate") as link:
        with _refusing(link, "the run store's schema"):
            return await migrate(link)


@contextmanager
def _refusing(link: Link, what: str) -> Iterator[None]:
    """Say as Faults that the database refuses; what is away passes, and may be asked again."""
    try:
        yield
    except Exception as error:
        if is_refused(error):
            raise Faults([f"database {name_of(link.url)} refuses {what}: {said(error)}"]) from error
        raise


def _url(found: Settings) -> str:
    assert found.database_url is not None, "store.py chose this room by it"
    return found.database_url
