"""worker/sink.py: results that go elsewhere than the run's database are written before the page commit, at least once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import pytest
from attempts import ITEMS, Rename, parts_of
from stored import do, row_of, rows_of

from worker.database import Link
from worker.errors import Faults, Throttled, Transient
from worker.job import Results, Run
from worker.ledger import CHANGED
from worker.retry import Retry
from worker.run import attempt
from worker.scope import Scope
from worker.source import Source
from worker.sources.postgres import PostgresQuery
from worker.stop import Stop, StopPlan
from worker.store.migrate import migrate
from worker.store.postgres import PostgresStore
from worker.testing.proxy import Break, Proxy
from worker.verdict import Verdict

ELSEWHERE = "CREATE TABLE elsewhere (id bigint PRIMARY KEY CHECK (id <> 7), written int DEFAULT 1)"
PUT = """INSERT INTO elsewhere (id) SELECT unnest($1::bigint[])
         ON CONFLICT (id) DO UPDATE SET written = elsewhere.written + 1 RETURNING id"""


class Uncounted(PostgresQuery):
    """Has no COMMIT of its own while page commits go on."""

    async def count(self, after: Any) -> None:
        """Leave it open."""


class Elsewhere(Rename):
    """Put the items elsewhere, by another connection than the page commit's; first it raises what it was given."""

    idempotent = True
    retry = Retry(on=(ArithmeticError,))
    query = "SELECT id, name FROM item WHERE id NOT IN (7, 13)"

    def __init__(self, url: str, *errors: Exception) -> None:
        self.url, self.troubles = url, list(errors)
        self.connections: list[Any] = []
        self.then: Callable[[], Any] = lambda: None

    def source(self, run: Run[Scope]) -> Source:
        """Read the items."""
        return Uncounted(self.query, (), ("id",))

    async def open(self, run: Run[Scope]) -> None:
        """Connect."""
        self.link = await run.enter(Link(self.url, "elsewhere"))

    async def write(self, results: Results, connection: Any) -> Any:
        """Put all but 13."""
        self.connections.append(connection)
        if self.troubles:
            raise self.troubles.pop(0)
        async with self.link.using() as elsewhere:
            put = await elsewhere.fetch(PUT, [row["id"] for row, _ in results if row["id"] != 13])
        then, self.then = self.then, lambda: None
        then()
        return put


class Awkward(Elsewhere):
    """The same with two items that it does not write: 7 is refused, 13 has changed meanwhile."""

    query = "SELECT id, name FROM item"


@pytest.fixture
async def link(database_url: str) -> AsyncIterator[Link]:
    """Give a link to a database with the run store."""
    async with Link(database_url, "test") as link:
        await migrate(link)
        yield link


@pytest.fixture
async def items(link: Link) -> str:
    """Give that database with twenty items, and the table they are put into: it refuses 7."""
    await do(link, ITEMS)
    await do(link, ELSEWHERE)
    return link.url


async def written(link: Link) -> dict[int, int]:
    """Give how often each item was written."""
    return {row["id"]: row["written"] for row in await rows_of(link, "SELECT * FROM elsewhere ORDER BY id")}


EASY = dict.fromkeys((number for number in range(1, 21) if number not in (7, 13)), 1)


async def test_written_ahead_finds_the_refused_and_the_changed(items: str, link: Link) -> None:
    """What is refused is found by halves and fails, what was not written is skipped, all others are written once."""
    job = Awkward(items)
    async with parts_of(items, job) as parts:
        summary = await attempt(parts)
    assert set(job.connections) == {None}
    assert await written(link) == EASY
    assert (summary.tally.done, summary.tally.failed, summary.tally.skipped) == (18, 1, {CHANGED: 1})
    assert await rows_of(link, "SELECT key::text, type FROM worker.dead_letters") == [("[7]", "CheckViolationError")]


@pytest.mark.parametrize(
    "error", [Transient("not now"), Throttled("less", 0.01), ConnectionResetError(), ZeroDivisionError()], ids=repr
)
async def test_written_ahead_tries_again_what_another_try_may_mend(items: str, link: Link, error: Exception) -> None:
    """The same errors as for `process`, those that the job's `retry` names among them: no result is blamed for them."""
    job = Elsewhere(items, error)
    async with parts_of(items, job) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.tally.done, summary.tally.failed) == (Verdict.SUCCEEDED, 18, 0)
    assert await written(link) == EASY


@pytest.mark.parametrize("cut", ["before", "after"])
async def test_written_ahead_is_not_repeated_with_the_commit(items: str, link: Link, cut: str) -> None:
    """The store's transaction is cut: it is tried again, or looked up, and what was written elsewhere stays written once."""
    job = Awkward(items)
    async with Proxy(items) as proxy, parts_of(proxy.url, job) as parts:
        broken: list[Break] = []
        job.then = lambda: broken.append((proxy.cut_before if cut == "before" else proxy.cut_after)(b"COMMIT;"))
        summary = await attempt(parts)
    assert broken[0].happened.is_set()
    assert await written(link) == EASY
    assert (summary.tally.done, summary.tally.failed, summary.tally.skipped) == (18, 1, {CHANGED: 1})


async def test_written_ahead_comes_again_after_a_crash_in_between(items: str, link: Link) -> None:
    """Written and not committed, for the store stays away: the next attempt writes it again, and nothing is missing."""
    job = Elsewhere(items)
    async with Proxy(items) as proxy, parts_of(proxy.url, job, patience_s=0.0) as parts:
        job.then = lambda: proxy.cut_before(b"COMMIT;")
        first = await attempt(parts)
    assert (first.verdict, first.tally.done) == (Verdict.INTERRUPTED, 0)
    twice = await written(link)
    assert twice
    await do(link, "UPDATE worker.runs SET lease = NULL, token = NULL")
    async with parts_of(items, Elsewhere(items)) as parts:
        second = await attempt(parts)
    assert (second.verdict, second.run_tally.done) == (Verdict.SUCCEEDED, 18)
    assert await written(link) == {number: 1 + (number in twice) for number in EASY}


async def test_written_ahead_has_the_stop_plans_time(items: str) -> None:
    """A write that hangs does not outlive the time that a stop leaves for commits."""
    stop, plan = Stop(), StopPlan(timeout=1, drain=0.1, commit=0.2, report=0.1)

    class Hanging(Elsewhere):
        async def write(self, results: Results, connection: Any) -> None:
            stop.ask("SIGTERM")
            await asyncio.Event().wait()

    async with asyncio.timeout(2), parts_of(items, Hanging(items), stop=stop, plan=plan) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.tally.done) == (Verdict.INTERRUPTED, 0)


async def test_written_ahead_of_a_dry_run_is_nothing(items: str, link: Link) -> None:
    """`write` is not called; what it would have been given is counted, and some of it is shown."""
    job = Elsewhere(items)
    async with parts_of(items, job, dry_run=True) as parts:
        summary = await attempt(parts)
    assert (job.connections, await written(link)) == ([], {})
    assert (summary.tally.done, summary.samples[0], len(summary.samples)) == (18, "1: 'new'", 5)
    assert await row_of(link, "SELECT mode FROM worker.runs") == ("dry-run",)


class WithoutTransaction(PostgresStore):
    """A run store that has no connection for `write`, as one in DynamoDB."""

    transactional = False


async def test_written_inside_a_store_without_transactions_is_a_fault(items: str, link: Link) -> None:
    """A job that writes inside the page commit is told what it needs; one that writes ahead, or not at all, starts."""
    async with parts_of(items, Rename(), store=WithoutTransaction) as parts:
        with pytest.raises(Faults, match=r"needs PostgreSQL: set DATABASE_URL, or say idempotent = True"):
            await attempt(parts)

    class Silent(Rename):
        write: ClassVar[Any] = None

    for number, job in enumerate((Elsewhere(items), Silent())):
        async with parts_of(items, job, store=WithoutTransaction) as parts:
            parts.run.run_key = str(number)
            assert (await attempt(parts)).verdict is Verdict.SUCCEEDED


@pytest.mark.parametrize(
    ("job", "said"),
    [(Rename(), "once: written inside"), (Elsewhere(""), "at-least-once: written before the page commit")],
    ids=["inside", "ahead"],
)
async def test_written_how_often_is_said_at_the_start(database_url: str, job: Rename, said: str) -> None:
    """The start log says what becomes of results."""
    async with parts_of(database_url, job) as parts:
        assert parts.sink.startswith(said)
