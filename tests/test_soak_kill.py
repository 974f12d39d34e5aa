"""The full numbers behind "a run that can be killed anywhere": poll-payments with 5,000 records (make soak)."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from payments import Payments, expected, payments
from worker_process import finished, worker

from worker.local.postgres import Postgres
from worker.testing.report import Report

pytestmark = pytest.mark.soak

Disturb = Callable[..., Awaitable[Report]]

RECORDS = 5_000
CONCURRENCY, PAGE_SIZE = 64, 500

COUNT_WRITES = (
    "ALTER TABLE payments ADD writes integer NOT NULL DEFAULT 0",
    "CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.writes := OLD.writes + 1; RETURN NEW; END'",
    "CREATE TRIGGER count_write BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION count_write()",
)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Postgres]:
    """Give a server that may be restarted."""
    async with Postgres() as server:
        yield server


@pytest_asyncio.fixture
async def world(server: Postgres) -> AsyncIterator[Payments]:
    """Give 5,000 payments, each with a count of its writes, that take about three seconds."""
    async with payments(await server.database(), RECORDS, delay=0.03) as world:
        for statement in COUNT_WRITES:
            await world.sql(statement)
        yield world


@pytest.fixture
def disturb(kill_anywhere: Disturb, world: Payments) -> Disturb:
    """Give the kit, set up for poll-payments; the compared rows hold how often they were written."""

    async def disturbed(**how: object) -> Report:
        return await kill_anywhere(
            "poll-payments",
            database=world.url,
            environment=world.environment,
            except_columns=["updated_at", "checked_at"],
            calls=lambda: world.calls.by_ref,
            seed=7,
            **how,
        )

    return disturbed


async def test_soak_kills(disturb: Disturb) -> None:
    """200 SIGKILLs at random instants: the same rows, each written once; a kill repeats no more than was uncommitted."""
    report = await disturb(kills=200)
    assert report.disturbed["kills"] == 200
    assert report.most_at_once <= 4 * PAGE_SIZE + CONCURRENCY


async def test_soak_kills_at_commits(disturb: Disturb) -> None:
    """Killed before, in and after every commit of a run."""
    report = await disturb(commits=1_000)
    assert report.disturbed["kills at commits"] >= 30


async def test_soak_stops(disturb: Disturb) -> None:
    """50 SIGTERMs: exit 75 within the stop timeout every time; the next attempt goes on, and nobody is asked twice."""
    report = await disturb(stops=50)
    assert report.verdicts["interrupted"] == 50
    assert not report.repeated


async def test_soak_pairs(disturb: Disturb) -> None:
    """20 pairs of starts at once, of one run, of two, with `--wait`: exactly one works, the other names it, waits for its code."""
    report = await disturb(pairs=20)
    assert report.verdicts["succeeded"] == 20
    assert not report.repeated


async def test_soak_start_after_a_kill_takes_over(world: Payments) -> None:
    """A start two seconds after a SIGKILL, with the lease as it is in production, takes over by itself and does the work."""
    before = await world.statuses()
    environment = world.environment | {"RUN_KEY": "night"}
    async with worker("poll-payments", **environment) as running:
        await running.started()
        await world.calls.until(RECORDS // 2)
        running.signal(signal.SIGKILL)
        await running.ended()
    await asyncio.sleep(2)
    code, done = await finished("poll-payments", **environment)
    assert (code, done.end["attempt"], await world.statuses()) == (0, 2, expected(before))
    assert {row["writes"] for row in await world.sql("SELECT DISTINCT writes FROM payments")} == {0, 1}


async def test_soak_freezes(disturb: Disturb) -> None:
    """Holders frozen for longer than their lease: succeeded, their commit is refused and they exit 3; alone they go on."""
    report = await disturb(freezes=15)
    assert report.verdicts["lost its lease"] == 10


async def test_soak_cuts(disturb: Disturb) -> None:
    """Connections cut at random instants and around COMMITs: the same attempt goes on, and nobody is asked twice."""
    report = await disturb(cuts=50)
    assert set(report.verdicts) == {"succeeded"}
    assert not report.repeated


async def test_soak_restarts(disturb: Disturb, server: Postgres, world: Payments) -> None:
    """PostgreSQL crashed and started again ten times in one run: exit 0, nothing lost, nothing doubled."""

    async def restart() -> None:
        await server.crash()
        await server.start()

    world.environment["WORKER_CONCURRENCY"] = "16"  # long enough for ten
    report = await disturb(restarts=10, restart=restart)
    assert report.runs == 1
    assert set(report.verdicts) == {"succeeded"}
    assert not report.repeated
