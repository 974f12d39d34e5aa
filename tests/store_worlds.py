"""The run stores that one contract suite holds to the same: what each test needs of them beside the port itself."""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from stored import a_claim, a_letter

from worker.claim import Claim, Granted, Store
from worker.database import Link
from worker.job import Result
from worker.launches import Launches
from worker.ledger import Batch, DeadLetter
from worker.marks import Marks
from worker.portions import Portions
from worker.runs import LetterView, Reader, RunView
from worker.store.dynamodb import DynamoStore
from worker.store.launches import PostgresLaunches
from worker.store.marks import PostgresMarks
from worker.store.migrate import migrate
from worker.store.portions import PostgresPortions
from worker.store.postgres import PostgresStore
from worker.store.reading import RunReader
from worker.store.table import Table
from worker.store.table_launches import TableLaunches
from worker.store.table_making import make
from worker.store.table_marks import TableMarks
from worker.store.table_portions import TablePortions
from worker.store.table_reading import TableReader
from worker.tally import Tally
from worker.writing import Writer


class StoreWorld:
    """A run store as several attempts see it, each by connections of its own; `written` is what `write` was given."""

    def __init__(
        self,
        stores: Sequence[Store],
        reader: Reader,
        launches: Sequence[Launches] = (),
        marks: Sequence[Marks] = (),
        portions: Sequence[Portions] = (),
    ) -> None:
        self.stores, self.reader, self.launches, self.marks, self.portions = stores, reader, launches, marks, portions
        self.written: list[Any] = []

    def writer(self, changed: int = 0, refused: Sequence[int] = ()) -> Callable[..., Any]:
        """Give a `write` that goes elsewhere, leaves so many results out, and refuses these."""

        async def write(results: Sequence[Result], connection: Any) -> Any:
            if refused_here := [result for result in results if result.record["id"] in refused]:
                raise ValueError(refused_here)
            self.written += [result.record["id"] for result in results]
            return [result.record for result in results][changed:]

        return Writer(write, _letter, lambda error: isinstance(error, ValueError))

    async def commit(self, store: Store, batch: Batch, **how: Any) -> Any:
        """Commit a page of a source by id."""
        return await store.commit(batch, "id", self.writer(**how))

    async def run(self, claim: Claim | None = None) -> RunView:
        """Look at a run."""
        found = await self.reader.find((claim or a_claim()).run_id)
        assert found is not None
        return found

    async def tally(self, claim: Claim | None = None) -> Tally:
        """Give a run's counts."""
        return Tally.from_json((await self.run(claim)).tally)

    async def letters(self, claim: Claim | None = None) -> list[LetterView]:
        """Give a run's dead letters."""
        return await self.reader.dead_letters((claim or a_claim()).run_id, 1_000)


def _letter(result: Result, error: Exception) -> DeadLetter:
    return a_letter(result.record["id"], type=type(error).__name__)


async def granted(store: Store, claim: Claim | None = None) -> Granted:
    """Claim a run that nobody stands in the way of."""
    answer = await store.claim(claim or a_claim())
    assert isinstance(answer, Granted), answer
    return answer


@asynccontextmanager
async def postgres_world(url: str, count: int = 4) -> AsyncIterator[StoreWorld]:
    """Give the run store in an empty PostgreSQL database."""
    async with AsyncExitStack() as opened:
        links = [await opened.enter_async_context(Link(url, f"{number}")) for number in range(count + 1)]
        await migrate(links[0])
        launches = [PostgresLaunches(link) for link in links[1:]]
        marks = [PostgresMarks(link) for link in links[1:]]
        portions = [PostgresPortions(link) for link in links[1:]]
        yield StoreWorld([PostgresStore(link) for link in links[1:]], RunReader(links[0]), launches, marks, portions)


@asynccontextmanager
async def dynamodb_world(count: int = 4) -> AsyncIterator[StoreWorld]:
    """Give the run store in a new table of the DynamoDB that the environment points at."""
    async with Table(f"runs-{secrets.token_hex(4)}", "test") as table:  # one client: they take their time to be made
        await make(table)  # without its expiry, which dynalite has not
        launches = [TableLaunches(table) for _ in range(count)]
        marks = [TableMarks(table) for _ in range(count)]
        portions = [TablePortions(table) for _ in range(count)]
        yield StoreWorld([DynamoStore(table) for _ in range(count)], TableReader(table), launches, marks, portions)
