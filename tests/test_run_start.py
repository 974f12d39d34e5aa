"""worker/run.py: what keeps an attempt from starting, whom it waits for, and that whatever breaks leaves the run free."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from attempts import ITEMS, SECRET, Rename, parts_of
from stored import a_claim, do, granted, row_of, rows_of

from worker.budget import ErrorBudget
from worker.claim import Claim, Granted, Held, Over
from worker.database import Link
from worker.errors import Faults, Transient
from worker.job import Results, Run
from worker.outcome import Outcome, skipped
from worker.report import words
from worker.retry import Retry
from worker.run import attempt
from worker.scope import Scope
from worker.source import Record, Source
from worker.sources import lists
from worker.sources.postgres import PostgresQuery
from worker.stop import Stop
from worker.store.migrate import migrate
from worker.store.postgres import PostgresStore
from worker.tally import Tally
from worker.testing.proxy import Proxy
from worker.verdict import Verdict


@pytest.fixture
async def items(store_url: str, link: Link) -> str:
    """Give a database with the run store and twenty items."""
    await do(link, ITEMS)
    return store_url


async def end_of(link: Link) -> tuple[Any, ...]:
    """Give how the last attempt is said to have ended, and whether the run is free for the next."""
    sql = "SELECT a.verdict, a.exit_code, r.status, r.lease FROM worker.runs r JOIN worker.attempts a ON a.number = r.attempt"
    return tuple(await row_of(link, sql))


async def test_run_from_claim_to_end(items: str, link: Link) -> None:
    """All is read, written and counted; the attempt is closed, the run over, and the same run again is already done."""
    async with parts_of(items) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.tally.done) == (Verdict.SUCCEEDED, 20)
    assert await row_of(link, "SELECT count(*) FROM item WHERE name = 'new'") == (20,)
    assert await end_of(link) == ("succeeded", 0, "succeeded", None)
    async with parts_of(items) as parts:
        again = await attempt(parts)
    assert again.verdict is Verdict.ALREADY_DONE
    assert again.detail.startswith("it succeeded at 2")


class Accepting(logging.Handler):
    """Lets connections through once the third wait for the database was said."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy, self._waits = proxy, 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count."""
        self._waits += "waiting for the database" in record.getMessage()
        self._proxy.refusing = self._waits < 3


async def test_run_waits_for_a_database_that_comes_back(items: str) -> None:
    """Connections that are refused at first cost a few warnings."""
    async with Proxy(items) as proxy, parts_of(proxy.url) as parts:
        proxy.refusing = math.inf
        parts.run.log = logging.Logger("run")
        parts.run.log.addHandler(Accepting(proxy))
        assert (await attempt(parts)).verdict is Verdict.SUCCEEDED
        assert proxy.connections > 3


async def test_run_without_a_database_is_interrupted(items: str) -> None:
    """After CONNECT_TIMEOUT the attempt ends with 75, and says which database it waited for, and for how long."""
    async with Proxy(items) as proxy, parts_of(proxy.url, connect_timeout_s=0.2) as parts:
        proxy.refusing = math.inf
        summary = await attempt(parts)
    assert (summary.verdict, summary.verdict.exit_code) == (Verdict.INTERRUPTED, 75)
    assert "database 127.0.0.1:" in summary.detail
    assert "(waited for 0.2 s: it is down, or its host and port are others)" in summary.detail
    assert words.headline(summary) == "poll-payments was interrupted before it had read a record; start it again"


async def test_run_says_every_fault_at_once(link: Link, each_url: str) -> None:
    """Schema, query and what the job itself finds, in one go; nothing is claimed."""

    class Wrong(Rename):
        query = "SELECT id FROM nowhere"

        async def check(self, run: Run[Scope]) -> list[str]:
            return [f"key {SECRET} is refused"]

    async with parts_of(each_url, Wrong()) as parts:
        with pytest.raises(Faults) as found:
            await attempt(parts)
    assert sorted(fault.partition(" ")[0] for fault in found.value.faults) == ["key", "the", "the"]
    assert "run python -m worker migrate" in str(found.value)
    assert 'relation "nowhere" does not exist' in str(found.value)
    assert "key *** is refused" in found.value.faults


@pytest.mark.parametrize("where", ["open", "check"])
async def test_run_with_a_job_that_breaks_before_the_work_says_so(
    link: Link, each_url: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What open() or check() raises is a fault beside the others, without the secrets in it."""

    async def breaks(self: Any, run: Run[Scope]) -> None:
        raise KeyError(f"no {SECRET}")

    monkeypatch.setattr(Rename, where, breaks)
    async with parts_of(each_url) as parts:
        with pytest.raises(Faults) as found:
            await attempt(parts)
    assert f"{where}() of the job raised KeyError: 'no ***'" in found.value.faults
    assert "run python -m worker migrate" in str(found.value)


async def test_run_with_a_source_over_what_could_not_be_opened_says_only_that(items: str) -> None:
    """A list is read through the client that open() makes: where that failed, the list has no fault of its own."""

    class Listing(Rename):
        def source(self, run: Run[Scope]) -> Source:
            return lists.by_cursor(self.fetch)

        async def fetch(self, after: Any, size: int) -> tuple[Sequence[Record], bool]:
            return await self.client.items(after, size)  # type: ignore[attr-defined, no-any-return]

        async def open(self, run: Run[Scope]) -> None:
            raise Faults(["API_KEY has a space in it"])

    async with parts_of(items, Listing()) as parts:
        with pytest.raises(Faults) as found:
            await attempt(parts)
    assert found.value.faults == ("API_KEY has a space in it",)


async def test_run_with_refused_credentials_is_one_fault(items: str) -> None:
    """It is not waited for, and is said once for all the connections it meets."""
    async with parts_of(items.replace("postgres@", f"nobody:{SECRET}@")) as parts:
        with pytest.raises(Faults) as found:
            await attempt(parts)
    [fault] = found.value.faults
    assert 'refuses the connection: role "nobody" does not exist' in fault
    assert SECRET not in fault


class ByName(Rename):
    """The same by another key."""

    query = "SELECT lpad(id::text, 5) AS name FROM item"
    key = "name"


class ByUuid(Rename):
    """The same, where the key has become another type."""

    query = "SELECT gen_random_uuid() AS id FROM item"


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (ByName(), "the run's cursor is by id, the source's key is now name: run with --restart"),
        (ByUuid(), "the run's cursor [5] is no value of id, whose type has changed: run with --restart"),
    ],
    ids=["column", "type"],
)
async def test_run_with_a_cursor_of_another_key_is_refused(items: str, link: Link, job: Rename, said: str) -> None:
    """The attempt is closed, the lease given back, the cursor kept for a job that fits; --restart goes on."""
    await granted(PostgresStore(link))
    await do(link, "UPDATE worker.runs SET source = 'id', cursor = '[5]', lease = NULL, token = NULL")
    async with parts_of(items, job) as parts:
        with pytest.raises(Faults) as found:
            await attempt(parts)
    assert found.value.faults == (said,)
    assert await end_of(link) == ("could not start", 2, "could not start", None)
    assert await row_of(link, "SELECT cursor::text FROM worker.runs") == ("[5]",)
    async with parts_of(items) as parts:
        assert (await attempt(parts)).tally.done == 15


async def test_run_whose_source_breaks_is_crashed_and_leaves_the_run_free(items: str, link: Link) -> None:
    """What page() raises ends the attempt: closed, reported, and without the secrets in it."""

    class Broken(PostgresQuery):
        async def page(self, after: Any, size: int) -> Any:
            if after is not None:
                raise RuntimeError(f"no page with {SECRET}\0 \ud800")
            return await super().page(after, size)

    class Breaking(Rename):
        def source(self, run: Run[Scope]) -> Source:
            return Broken(self.query, (), ("id",))

    async with parts_of(items, Breaking()) as parts:
        summary = await attempt(parts)
    assert summary.verdict is Verdict.CRASHED
    assert "RuntimeError: no page with ***" in summary.detail
    assert await end_of(link) == ("crashed", 1, "crashed", None)
    for table in ("runs", "attempts"):
        assert SECRET not in str(await rows_of(link, f"SELECT to_jsonb(t)::text FROM worker.{table} t"))


async def test_run_keeps_a_summary_without_secrets(items: str, link: Link) -> None:
    """Errors that quote a secret, a NUL or half a character are kept as JSON that PostgreSQL can hold."""

    class Failing(Rename):
        async def process(self, record: Record, run: Run[Scope]) -> Outcome:
            raise ValueError(f"{SECRET} \0 \ud800")

    async with parts_of(items, Failing()) as parts:
        summary = await attempt(parts)
    assert summary.verdict.exit_code == 1
    kept = await row_of(
        link, "SELECT summary#>>'{errors,0,message}' AS message, summary->>'verdict' AS v FROM worker.attempts"
    )
    assert kept["message"].startswith("*** \\0 \\ud800 (test_run_start.py:")
    assert kept["v"]
    for table in ("runs", "attempts", "dead_letters"):
        assert SECRET not in str(await rows_of(link, f"SELECT to_jsonb(t)::text FROM worker.{table} t"))


async def test_run_whose_end_cannot_be_saved_is_reported_all_the_same(
    items: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why; the verdict is one after which the same run is started again."""

    class Spiteful(Rename):
        async def write(self, results: Results, connection: Any) -> None:
            await connection.execute("ALTER TABLE worker.attempts RENAME COLUMN ended_at TO gone")

    async with parts_of(items, Spiteful(), max_records=1) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.tally.done) == (Verdict.INTERRUPTED, 1)
    assert summary.detail == "all is done, but the run store could not be told"
    assert "the end of the attempt is not in the run store" in caplog.text


async def test_run_saves_its_end_over_a_new_connection(items: str, link: Link) -> None:
    """A connection that breaks at the very end does not leave the run held."""
    async with Proxy(items) as proxy, parts_of(proxy.url) as parts:
        cut = proxy.cut_before(b"UPDATE worker.attempts SET ended_at")
        assert (await attempt(parts)).verdict is Verdict.SUCCEEDED
    assert cut.happened.is_set()
    assert await end_of(link) == ("succeeded", 0, "succeeded", None)


async def test_run_whose_resources_do_not_close_keeps_its_verdict(items: str, caplog: pytest.LogCaptureFixture) -> None:
    """What breaks after the report is a log line; all else that was opened is closed."""
    closed: list[str] = []

    @asynccontextmanager
    async def client(name: str, error: Exception | None) -> AsyncIterator[None]:
        try:
            yield
        finally:
            closed.append(name)
            if error:
                raise error

    class Opening(Rename):
        async def open(self, run: Run[Scope]) -> None:
            await run.enter(client("first", None))
            await run.enter(client("second", RuntimeError("will not close")))

    async with parts_of(items, Opening()) as parts:
        assert (await attempt(parts)).verdict is Verdict.SUCCEEDED
    assert closed == ["second", "first"]
    assert "will not close" in caplog.text


async def test_run_says_that_the_store_is_newer(items: str, link: Link, caplog: pytest.LogCaptureFixture) -> None:
    """An old image works on, with a warning."""
    await do(link, "INSERT INTO worker.migrations (version, name) VALUES (999, 'from the future')")
    with caplog.at_level(logging.WARNING):
        async with parts_of(items) as parts:
            assert (await attempt(parts)).verdict is Verdict.SUCCEEDED
    assert "the run store is at version 999" in caplog.text


class Watching(PostgresStore):
    """A store that is impatient, and tells what it is asked."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, lease_s=0.4)
        self.claims = 0
        self.claimed = asyncio.Event()

    async def claim(self, claim: Claim, successor_of: Held | None = None) -> Granted | Held | Over:
        """Count."""
        self.claims += 1
        if self.claims == 3:
            self.claimed.set()
        return await super().claim(claim, successor_of)


@pytest.mark.parametrize(
    ("run_key", "verdict"), [("2026-11-22", Verdict.ALREADY_RUNNING), ("other", Verdict.OVERLAPPED)]
)
async def test_run_leaves_a_holder_alone_that_shows_signs_of_life(
    items: str, link: Link, run_key: str, verdict: Verdict
) -> None:
    """The same run is already running, another one overlaps; both say who is at work."""
    holder = PostgresStore(link)
    await granted(holder, a_claim(run_key))
    async with parts_of(items, store=Watching) as parts:
        watching = asyncio.create_task(attempt(parts))
        await parts.store.claimed.wait()  # type: ignore[attr-defined]
        await holder.heartbeat()
        summary = await watching
    assert (summary.verdict, summary.verdict.exit_code) == (verdict, 0)
    assert summary.detail == f"attempt 1 of run poll-payments:{run_key} is at work"
    await holder.heartbeat()


async def test_run_succeeds_a_holder_that_is_dead(items: str, link: Link) -> None:
    """After one lease time without a sign the work is done by the next attempt."""
    await granted(PostgresStore(link))
    async with parts_of(items, store=Watching) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.start.attempt, summary.tally.done) == (Verdict.SUCCEEDED, 2, 20)


async def test_run_stopped_while_it_watches_takes_nothing(items: str, link: Link) -> None:
    """SIGTERM during the watch ends with 75; the holder, of whom nothing is known yet, keeps its lease."""
    holder, stop = PostgresStore(link), Stop()
    await granted(holder)
    async with parts_of(items, store=Watching, stop=stop) as parts:
        watching = asyncio.create_task(attempt(parts))
        await parts.store.claimed.wait()  # type: ignore[attr-defined]
        stop.ask("SIGTERM")
        summary = await watching
    assert summary.verdict is Verdict.INTERRUPTED
    assert summary.detail == "SIGTERM, while watching whether attempt 1 of run poll-payments:2026-11-22 is at work"
    await holder.heartbeat()


async def test_run_takes_no_outage_of_the_database_for_a_dead_holder(items: str, link: Link) -> None:
    """While the database is away the holder cannot be heard of either: the watch begins anew."""
    holder = PostgresStore(link)
    await granted(holder)

    class Away(Watching):
        async def claim(self, claim: Claim, successor_of: Held | None = None) -> Granted | Held | Over:
            answer = await super().claim(claim, successor_of)
            if self.claims in (18, 19, 20):
                raise Transient("away for longer than a lease")
            if self.claims == 26:
                await holder.heartbeat()
            return answer

    async with parts_of(items, store=Away) as parts:
        assert (await attempt(parts)).verdict is Verdict.ALREADY_RUNNING
    await holder.heartbeat()


async def test_run_refused_in_the_middle_is_crashed_not_a_start_that_failed(items: str, link: Link) -> None:
    """A password that is changed while records are worked on ends the attempt with 1: it did work."""

    class Locked(Rename):
        async def write(self, results: Results, connection: Any) -> None:
            raise Faults(["database x refuses the connection: password authentication failed"])

    async with parts_of(items, Locked()) as parts:
        parts.store.is_refusal = lambda error: False  # type: ignore[method-assign]
        summary = await attempt(parts)
    assert summary.verdict is Verdict.CRASHED
    assert "password authentication failed" in summary.detail
    assert await end_of(link) == ("crashed", 1, "crashed", None)


async def test_run_needs_no_more_than_a_schema(each_url: str, link: Link) -> None:
    """An empty table is a run that succeeded."""
    await migrate(link)
    await do(link, "CREATE TABLE item (id bigint PRIMARY KEY, name text)")
    async with parts_of(each_url) as parts:
        summary = await attempt(parts)
    assert (summary.verdict, summary.tally) == (Verdict.SUCCEEDED, Tally())


async def test_run_names_a_record_the_same_over_retries_and_resumes_and_anew_in_a_replay(items: str) -> None:
    """An idempotency key belongs to a record in a run: every attempt at it has the same, each replay of its failures another."""
    keys: dict[int, list[str]] = {}

    class Stubborn(Rename):
        retry = Retry(attempts=2, first=0)
        errors = ErrorBudget(share=None)

        async def process(self, record: Record, run: Run[Scope]) -> Outcome:
            keys.setdefault(record["id"], []).append(run.idempotency_key(record))
            if len(keys) == 10 and run.attempt == 1:
                parts.stop.ask("enough for now")
            raise Transient("not today")

    for _ in range(4):
        async with parts_of(items, Stubborn()) as parts:
            last = await attempt(parts)
        if last.verdict is Verdict.COMPLETED_WITH_FAILURES and last.start.replay is None:
            tried = {number: len(seen) for number, seen in keys.items()}
    assert last.start.replay is not None
    assert len({key for number, seen in keys.items() for key in seen[: tried[number]]}) == 20, (
        "one a record, over tries and attempts"
    )
    for number, seen in keys.items():
        assert len(set(seen[: tried[number]])) == 1
        assert seen[tried[number]] not in seen[: tried[number]]


async def test_run_with_a_secret_in_a_skip_reason_keeps_it_out_of_the_store(items: str, link: Link) -> None:
    """A reason is masked like every other text that a job gives."""

    class Telling(Rename):
        async def process(self, record: Record, run: Run[Scope]) -> Outcome:
            return skipped(f"because {SECRET}")

    async with parts_of(items, Telling()) as parts:
        summary = await attempt(parts)
    assert summary.tally.skipped == {"because ***": 20}
    assert SECRET not in str(await row_of(link, "SELECT tally::text FROM worker.runs"))


async def test_runs_of_one_job_go_on_side_by_side_where_it_says_so(items: str) -> None:
    """With `one_per_scope` a run with another scope has a lease of its own; with the same scope it has not."""

    class Regional(Scope):
        region: str

    class Sides(Rename):
        one_per_scope = True

    async with parts_of(items, Sides()) as north, parts_of(items, Sides()) as south, parts_of(items, Sides()) as again:
        for parts, key, region in ((north, "1", "north"), (south, "2", "south"), (again, "3", "north")):
            parts.run.run_key, parts.run.scope = key, Regional(region=region)
        held = [type(await parts.store.claim(parts.claim())).__name__ for parts in (north, south, again)]
    assert held == ["Granted", "Granted", "Held"]
