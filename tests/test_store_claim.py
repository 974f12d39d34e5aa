"""worker/store/postgres.py: who gets a run, from where it goes on, and who may be succeeded."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from examples import a_summary
from stored import Payments, a_batch, a_claim, a_letter, do, granted, row_of, rows_of

from worker.claim import Claim, Granted, Held, Over
from worker.database import Link
from worker.errors import Faults, LeaseLost
from worker.events import Summary
from worker.ledger import Batch
from worker.store.postgres import PostgresStore
from worker.tally import Tally
from worker.verdict import Verdict


@pytest.fixture
async def stores(store_url: str) -> AsyncIterator[list[PostgresStore]]:
    """Give the run store as several attempts see it, each over a connection of its own."""
    async with AsyncExitStack() as opened:
        yield [PostgresStore(await opened.enter_async_context(Link(store_url, str(number)))) for number in range(4)]


def ended(verdict: Verdict) -> Summary:
    """Give the summary of an attempt that ended like this."""
    return a_summary(verdict, tally=Tally(read=3, done=3))


async def checkpoint(link: Link, store: PostgresStore, batch: Batch) -> None:
    """Commit a page that has nothing to write."""
    await store.commit(batch, "id", Payments(link, store).writer)


async def test_claim_of_a_new_run_is_granted(stores: list[PostgresStore], link: Link) -> None:
    """The first attempt begins at the start, and the store knows who it is."""
    claim = a_claim(scope={"merchant": 42}, task_arn="arn:1", host="here", version="1.2")
    assert await stores[0].claim(claim) == Granted(1, None, None, [], Tally())
    run = await row_of(link, "SELECT * FROM worker.runs")
    assert (run["status"], run["lease"], run["scope"]) == ("running", "poll-payments", '{"merchant": 42}')
    attempt = await row_of(link, "SELECT number, task_arn, host, version, ended_at FROM worker.attempts")
    assert tuple(attempt) == (1, "arn:1", "here", "1.2", None)


async def test_claim_of_a_run_that_succeeded_is_over(stores: list[PostgresStore], link: Link) -> None:
    """Nothing is begun, nothing is changed; with restart it begins anew, without the old failures."""
    await granted(stores[0])
    await checkpoint(link, stores[0], a_batch({}, a_letter(1), cursor=7))
    await stores[0].end(ended(Verdict.SUCCEEDED))
    before = await row_of(link, "SELECT * FROM worker.runs")
    over = await stores[1].claim(a_claim())
    assert over == Over(Verdict.SUCCEEDED, before["ended_at"])
    assert await row_of(link, "SELECT * FROM worker.runs") == before
    assert await granted(stores[1], a_claim(restart=True)) == Granted(2, None, None, [], Tally())
    assert await rows_of(link, "SELECT * FROM worker.dead_letters") == []


@pytest.mark.parametrize("run_key", ["2026-11-22", "other"])
async def test_claim_succeeds_a_holder_without_a_sign_of_life(
    stores: list[PostgresStore], link: Link, run_key: str
) -> None:
    """The successor goes on; the dead attempt is closed at its last sign; a deposed holder can write nothing."""
    await granted(stores[0])
    await checkpoint(link, stores[0], a_batch({}, cursor=7))
    held = await stores[1].claim(a_claim(run_key))
    assert isinstance(held, Held)
    taken = await stores[1].claim(a_claim(run_key), successor_of=held)
    assert isinstance(taken, Granted)
    assert taken.cursor == ([7] if run_key == "2026-11-22" else None)
    dead = await row_of(
        link,
        "SELECT a.verdict, a.detail, a.ended_at IS NOT NULL AS closed, r.status FROM worker.attempts a JOIN worker.runs r "
        "USING (run_id) WHERE run_id = 'poll-payments:2026-11-22' AND number = 1",
    )
    assert tuple(dead)[:3] == ("interrupted", "killed", True)
    assert dead["status"] == ("running" if run_key == "2026-11-22" else "interrupted")
    with pytest.raises(LeaseLost, match="a newer attempt holds run poll-payments:2026-11-22"):
        await stores[0].heartbeat()
    await stores[0].end(ended(Verdict.LEASE_LOST))
    lease = await row_of(link, "SELECT run_id, status FROM worker.runs WHERE lease IS NOT NULL")
    assert tuple(lease) == (a_claim(run_key).run_id, "running"), (
        "the deposed one's end takes nothing from its successor"
    )
    await stores[1].heartbeat()


async def test_claim_with_another_scope_is_refused(stores: list[PostgresStore], link: Link) -> None:
    """The fault names key and scope; nothing is changed, neither for a run that goes on nor for one that is over."""
    await granted(stores[0], a_claim(scope={"merchant_id": 1}, whole_scope=b'{"merchant_id":1}'))
    before = await row_of(link, "SELECT * FROM worker.runs")
    other = a_claim(scope={"merchant_id": 2}, whole_scope=b'{"merchant_id":2}', restart=True)
    with pytest.raises(Faults, match=r"run key '2026-11-22' was used with another scope: \{\"merchant_id\": 1\}"):
        await stores[1].claim(other)
    assert await row_of(link, "SELECT * FROM worker.runs") == before
    await stores[0].heartbeat()


async def test_claim_keeps_no_secret_of_the_scope(stores: list[PostgresStore], link: Link) -> None:
    """Of the whole scope the store holds a hash."""
    await granted(stores[0], a_claim(scope={"token": "***"}, whole_scope=b'{"token":"s3cretword"}'))
    for table in ("runs", "attempts"):
        assert "s3cretword" not in str(await rows_of(link, f"SELECT to_jsonb(t)::text FROM worker.{table} t"))


async def test_claim_takes_a_scope_that_json_cannot_hold_in_postgresql(stores: list[PostgresStore], link: Link) -> None:
    """A NUL in a scope is shown as a replacement character; a backslash before u0000 is none."""
    await granted(stores[0], a_claim(scope={"a": "x\0y", "b": "\\u0000", "c": "\\\0"}))
    scope = await row_of(link, "SELECT scope->>'a' AS a, scope->>'b' AS b, scope->>'c' AS c FROM worker.runs")
    assert tuple(scope) == ("x\ufffdy", "\\u0000", "\\\ufffd")


async def test_heartbeat_renews_the_lease(stores: list[PostgresStore], link: Link) -> None:
    """It moves on by the database's clock."""
    await granted(stores[0])
    sql = "SELECT heartbeat_at, lease_until, lease_until - heartbeat_at AS lease FROM worker.runs"
    before = await row_of(link, sql)
    await stores[0].heartbeat()
    after = await row_of(link, sql)
    assert after["heartbeat_at"] > before["heartbeat_at"]
    assert after["lease"].total_seconds() == before["lease"].total_seconds() == stores[0].lease_s


async def test_end_closes_the_attempt_and_gives_the_lease_back(stores: list[PostgresStore], link: Link) -> None:
    """Verdict, exit code, tally and the summary as JSON are in the attempt's row; the next claim is granted."""
    await granted(stores[0])
    await stores[0].end(a_summary(Verdict.ABORTED, detail="too many\0", tally=Tally(read=3, done=2, failed=1)))
    attempt = await row_of(
        link,
        "SELECT verdict, exit_code, detail, tally->>'done' AS done, summary->'start'->>'run_id' AS run_id, "
        "summary#>>'{errors,0,type}' AS error, ended_at >= started_at AS closed FROM worker.attempts",
    )
    run_id = "poll-payments:2026-11-22T06:30:00Z"
    assert tuple(attempt) == ("aborted", 1, "too many\ufffd", "2", run_id, "resource_missing", True)
    run = await row_of(link, "SELECT status, detail, lease, token, lease_until FROM worker.runs")
    assert tuple(run) == ("aborted", "too many\ufffd", None, None, None)
    await granted(stores[1], a_claim("other"))


async def test_history_is_the_median_of_the_last_ten(stores: list[PostgresStore], link: Link) -> None:
    """Of runs of the same job, mode and scope that succeeded; not of this one, nor of older ones."""
    store, mine = stores[0], a_claim("mine")
    assert await store.history(mine) is None
    for number in range(1, 13):
        claim: Claim = a_claim(f"key-{number}")
        await granted(store, claim)
        await checkpoint(link, store, Batch([], [], [1], [], Tally(read=100 * number, done=100 * number, failed=0)))
        await store.end(ended(Verdict.ABORTED if number == 12 else Verdict.SUCCEEDED))
        await do(
            link,
            f"UPDATE worker.runs SET created_at = now() - make_interval(hours => {20 - number}) WHERE run_id = '{claim.run_id}';"
            f"UPDATE worker.attempts SET ended_at = started_at + make_interval(secs => {number}) WHERE run_id = '{claim.run_id}'",
        )
    history = await store.history(mine)
    assert history is not None
    assert (history.runs, history.duration_s, history.records, history.failed) == (10, 6.5, 650.0, 0.0)
    assert await store.history(a_claim("mine", mode="canary")) is None
    assert await store.history(a_claim("mine", whole_scope=b'{"a":1}')) is None
    left = await store.history(a_claim("key-11"))
    assert left is not None
    assert left.duration_s == 5.5


async def test_history_of_runs_that_never_committed(stores: list[PostgresStore]) -> None:
    """A run without a page counts as one of no records."""
    await granted(stores[0], a_claim("empty"))
    await stores[0].end(ended(Verdict.SUCCEEDED))
    history = await stores[0].history(a_claim())
    assert history is not None
    assert (history.runs, history.records, history.failed) == (1, 0.0, 0.0)
