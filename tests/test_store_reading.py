"""worker/store/reading.py: what doors and reports hear of a run is what the run store holds."""

from argparse import Namespace

import pytest
from examples import a_summary
from stored import Payments, a_batch, a_claim, as_modest, do, granted

from worker.cli.runs import _latest
from worker.database import Link
from worker.errors import Faults
from worker.runs import RUNNING
from worker.store.postgres import PostgresStore
from worker.store.reading import RunReader
from worker.tally import Tally
from worker.verdict import Verdict


@pytest.fixture
async def store(store_url: str, link: Link) -> PostgresStore:
    """Give an empty run store."""
    return PostgresStore(link)


async def test_reading_follows_a_run(store: PostgresStore, link: Link) -> None:
    """While it works, and when it has ended: status, counts, exit code, attempts, summary."""
    reader, run_id = RunReader(link), "poll-payments:2026-11-22"
    await granted(store, a_claim(scope={"merchant_id": 42}, task_arn="arn:1", host="here"))
    await store.commit(a_batch({}, cursor=7), "id", Payments(link, store).writer)
    live = await reader.find(run_id)
    assert live is not None
    assert (live.status, live.live, live.exit_code, live.summary) == (RUNNING, True, None, None)
    assert (live.scope, live.cursor, live.attempt, live.dry_run) == ({"merchant_id": 42}, [7], 1, False)
    assert (live.attempts[0].task_arn, live.attempts[0].host, live.attempts[0].verdict) == ("arn:1", "here", None)
    assert await reader.holder("poll-payments") is not None
    await store.end(a_summary(Verdict.ABORTED, detail="why", tally=Tally(read=5, failed=5)))
    ended = await reader.find(run_id)
    assert ended is not None
    assert (ended.status, ended.live, ended.exit_code, ended.detail) == ("aborted", False, 1, "why")
    assert ended.summary is not None
    assert ended.summary["tally"]["failed"] == 5
    assert ended.duration_s is not None
    assert (ended.attempts[0].verdict, ended.attempts[0].exit_code) == ("aborted", 1)
    assert await reader.holder("poll-payments") is None


async def test_reading_a_run_that_was_killed(store: PostgresStore, link: Link) -> None:
    """Once its lease has expired it no longer runs, and holds nothing that would keep another from being started."""
    await granted(store)
    await do(link, "UPDATE worker.attempts SET started_at = now() - interval '1 day'")
    heard = "now() - interval '1 day' + interval '7 seconds'"
    await do(link, f"UPDATE worker.runs SET lease_until = now() - interval '1 second', heartbeat_at = {heard}")
    killed = await RunReader(link).find("poll-payments:2026-11-22")
    assert killed is not None
    assert (killed.status, killed.live, killed.exit_code) == ("interrupted", False, 75)
    assert killed.duration_s == pytest.approx(7, abs=1), "it worked until it was heard of last, not until now"
    assert await RunReader(link).holder("poll-payments") is None


async def test_reading_the_latest_of_many(store: PostgresStore, link: Link) -> None:
    """Newest first, of one job or of all, no more than asked for, by the indexes made for it."""
    await do(
        link,
        "INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status, created_at) "
        "SELECT j || ':' || n, j, n, '{}', '', 'dry-run', 'succeeded', now() - make_interval(mins => n) "
        "FROM generate_series(1, 3000) AS n, unnest(ARRAY['a', 'b']) AS j; ANALYZE worker.runs",
    )
    reader = RunReader(link)
    assert [run.run_id for run in await reader.latest(None, 4)] == ["b:1", "a:1", "b:2", "a:2"]
    ours = await reader.latest("b", 3)
    assert [run.run_id for run in ours] == ["b:1", "b:2", "b:3"]
    assert all(run.dry_run and run.exit_code == 0 and run.attempts == () for run in ours)
    assert len(await reader.latest("b", 5_000)) == 3_000


async def test_reading_waits_for_no_commit(store: PostgresStore, store_url: str, link: Link) -> None:
    """A page commit that takes its time keeps nobody from looking."""
    await granted(store)
    async with Link(store_url, "reader") as other, link.using() as connection, connection.transaction():
        await connection.execute("UPDATE worker.runs SET commits = 1")
        run = await RunReader(other).find("poll-payments:2026-11-22")
    assert run is not None


async def test_reading_without_rights_is_a_fault(
    store: PostgresStore, store_url: str, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`runs` says that the run store may not be read, instead of breaking."""
    async with link.using() as connection:
        monkeypatch.setenv("DATABASE_URL", await as_modest(connection, store_url))
    with pytest.raises(Faults, match="refuses the run store: permission denied for schema worker"):
        await _latest(Namespace(job=None, limit=1))


async def test_reading_a_store_that_was_never_made_is_a_fault(database_url: str) -> None:
    """It says how it is made, whatever is asked first."""
    async with Link(database_url, "test") as link:
        with pytest.raises(Faults, match="run python -m worker migrate"):
            await RunReader(link).find("poll-payments:2026-11-22")
        with pytest.raises(Faults, match="schema is not there"):
            await RunReader(link).page(None, None, None, 20)
