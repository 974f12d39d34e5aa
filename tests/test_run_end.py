"""The end of an attempt, when the database is away just then: what the exit code says is true."""

import math
import signal

from payments import Payments, expected, payments
from worker_process import Worker, adds_up, finished, worker

from worker.testing.proxy import Proxy

END = b"UPDATE worker.attempts SET ended_at"


async def test_run_end_is_told_once_the_database_is_back(database_url: str) -> None:
    """Cut off from its database when all is done, the worker tries again: exit 0, and the run store knows it."""
    async with payments(database_url, 20) as world, Proxy(database_url) as proxy:
        cut = proxy.cut_before(END)
        code, done = await finished("poll-payments", **_through(proxy, world))
        assert cut.happened.is_set()
        assert (code, done.end["verdict"], await _status(world)) == (0, "succeeded", "succeeded")


async def test_run_end_that_cannot_be_told_is_an_interruption(database_url: str) -> None:
    """With the database away for longer than the budget: exit 75; the same run again finds nothing left to do, and says so."""
    async with payments(database_url, 20) as world, Proxy(database_url) as proxy:
        before = await world.statuses()
        async with worker("poll-payments", **_through(proxy, world), DATABASE_BUDGET="0.5") as running:
            await _without_database(proxy, running)
            assert await running.ended() == 75
        assert (running.end["verdict"], await _status(world)) == ("interrupted", "running")
        proxy.refusing = 0
        asked = world.calls.by_ref.copy()
        code, again = await finished("poll-payments", **_through(proxy, world))
        assert (code, again.end["verdict"], await _status(world)) == (0, "succeeded", "succeeded")
        assert (again.end["tally"]["read"], world.calls.by_ref) == (0, asked)
        assert await world.statuses() == expected(before)


async def test_run_end_in_a_stop_has_the_stop_plans_time(database_url: str) -> None:
    """A stop does not wait for a database that is away: exit 75 within the stop timeout, whatever the budget."""
    async with (
        payments(database_url, 20) as world,
        Proxy(database_url) as proxy,
        worker("poll-payments", **_through(proxy, world), STOP_TIMEOUT="3") as running,
    ):
        await _without_database(proxy, running)
        running.signal(signal.SIGTERM)
        assert await running.ended(within_s=3) == 75


async def test_run_stops_in_time_though_its_database_hangs(database_url: str) -> None:
    """A database that takes no word any more, in the middle of the work: exit 75 within the stop timeout."""
    async with payments(database_url, 400, delay=0.05) as world, Proxy(database_url) as proxy:
        environment = _through(proxy, world) | {"WORKER_CONCURRENCY": "4", "WORKER_PAGE_SIZE": "20"}
        async with worker("poll-payments", **environment, STOP_TIMEOUT="4") as running:
            await world.calls.until(40)
            proxy.delay_s = 600
            running.signal(signal.SIGTERM)
            assert await running.ended(within_s=4) == 75
    assert adds_up(running.end["tally"])


async def _without_database(proxy: Proxy, running: Worker) -> None:
    """Take the database away when the worker tells the end, and wait until it has noticed."""
    cut = proxy.cut_before(END)
    await cut.happened.wait()
    proxy.refusing = math.inf
    await running.line(lambda line: "waiting" in line["event"])


def _through(proxy: Proxy, world: Payments) -> dict[str, str]:
    return world.environment | {"DATABASE_URL": proxy.url, "RUN_KEY": "night", "LEASE": "1"}


async def _status(world: Payments) -> str:
    [row] = await world.sql("SELECT status FROM worker.runs")
    return str(row["status"])
