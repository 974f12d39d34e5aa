"""The run store in a DynamoDB table: the ways to it that store.py offers."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from worker.environment import Settings
from worker.errors import Permanent
from worker.store.books import Books
from worker.store.dynamodb import DynamoStore
from worker.store.table import Table
from worker.store.table_launches import TableLaunches
from worker.store.table_making import migrate, refused
from worker.store.table_marks import TableMarks
from worker.store.table_portions import TablePortions
from worker.store.table_pruning import prune
from worker.store.table_reading import TableReader


def where(found: Settings) -> str:
    """Name the table."""
    return f"table {found.run_table}"


@asynccontextmanager
async def opened(found: Settings, job: str) -> AsyncIterator[DynamoStore]:
    """Give the run store to an attempt."""
    async with _table(found, job) as table:
        yield DynamoStore(table, found.lease_s)


@asynccontextmanager
async def sharing(found: Settings, job: str) -> AsyncIterator[TablePortions]:
    """Lend the ledgers of shared rate limits to an attempt."""
    async with _table(found, f"{job} rates") as table:
        yield TablePortions(table)


@asynccontextmanager
async def serving(found: Settings) -> AsyncIterator[TableReader]:
    """Lend what answers questions about runs, for long."""
    async with _table(found, "serve") as table:
        yield TableReader(table)


@asynccontextmanager
async def reading(found: Settings) -> AsyncIterator[TableReader]:
    """Lend what answers questions about runs, for now. Raises Faults where there is no run store, or it refuses, Transient where it is away."""
    async with _table(found, "runs") as table:
        with _refusing(table):
            yield TableReader(table)


@asynccontextmanager
async def launching(found: Settings) -> AsyncIterator[TableLaunches]:
    """Lend the launches to a launcher. Raises Faults where the table is not there, or refuses, Transient where it is away."""
    async with _table(found, "launches") as table:
        launches = TableLaunches(table)
        with _refusing(table):
            await launches.live()
        yield launches


@asynccontextmanager
async def watching(found: Settings) -> AsyncIterator[Books]:
    """Lend all that is known of runs, launches and what was said of them; where it cannot be asked, each answer says so."""
    async with _table(found, "watch") as table:
        yield Books(TableReader(table), TableMarks(table), TableLaunches(table))


async def made(found: Settings) -> list[str]:
    """Make the table, or what it lacks; give the names of that."""
    async with _table(found, "migrate") as table:
        with _refusing(table):
            return await migrate(table)


async def pruned(found: Settings, keep: timedelta) -> int:
    """Forget the runs that ended longer ago; give their number."""
    async with _table(found, "prune") as table:
        with _refusing(table):
            return await prune(table, keep)


@contextmanager
def _refusing(table: Table) -> Iterator[None]:
    """Say as Faults that the table is not there, or refuses; what is away passes, and may be asked again."""
    try:
        yield
    except Permanent as error:
        raise refused(table, error) from error


def _table(found: Settings, purpose: str) -> Table:
    assert found.run_table is not None, "store.py chose this room by it"
    return Table(found.run_table, purpose)
