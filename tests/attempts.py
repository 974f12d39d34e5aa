"""What tests of whole attempts share: a small job over a table of items, and the parts that an attempt at it is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from worker.database import Link
from worker.job import Job, Results, Run
from worker.limits import Limits
from worker.mask import Mask
from worker.outcome import Outcome, done
from worker.parts import Parts
from worker.rate import RateLimit
from worker.scope import Scope
from worker.source import Record, Source
from worker.sources.postgres import PostgresQuery, query
from worker.stop import Stop, StopPlan
from worker.store.postgres import PostgresStore

SECRET = "s3cretword"
ITEMS = "CREATE TABLE item (id bigint PRIMARY KEY, name text); INSERT INTO item SELECT n, 'old' FROM generate_series(1, 20) n"


class Rename(Job[Scope]):
    """Give every item a new name."""

    limits = Limits(concurrency=4, page_size=5)
    query = "SELECT id, name FROM item"
    key = "id"

    def source(self, run: Run[Scope]) -> Source:
        """Read the items."""
        return query(self.query, key=self.key)

    async def process(self, record: Record, run: Run[Scope]) -> Outcome:
        """Think of a name."""
        return done("new")

    async def write(self, results: Results, connection: Any) -> None:
        """Write the names."""
        ids = [result.record["id"] for result in results]
        await connection.execute("UPDATE item SET name = 'new' WHERE id = ANY($1)", ids)


@asynccontextmanager
async def parts_of(url: str, job: Job[Scope] | None = None, **changes: Any) -> AsyncIterator[Parts]:
    """Put the parts of an attempt at renaming together, as the command line does."""
    job = job or Rename()
    dry = changes.pop("dry_run", False)
    run: Run[Scope] = Run("poll-payments", "2026-11-22", Scope(), dry_run=dry)
    source = job.source(run)
    async with Link(url, "store") as store, Link(url, "pages", read_only=dry) as pages, Link(url, "count") as count:
        if isinstance(source, PostgresQuery):
            source.connect(pages, count)
        kept = changes.pop("store", PostgresStore)(store)
        yield Parts(
            job=job,
            run=run,
            source=source,
            store=kept,
            limits=job.limits,
            rates={"rate": RateLimit(None)},
            stop=changes.pop("stop", Stop()),
            plan=changes.pop("plan", StopPlan.within(10)),
            mask=Mask([SECRET]),
            **changes,
        )
