"""The main job under the kill-anywhere kit: a seeded sample of each disturbance; `make soak` has the full numbers."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from payments import Payments, payments

from worker.testing.report import Report

Disturb = Callable[..., Awaitable[Report]]


@pytest_asyncio.fixture
async def world(database_url: str) -> AsyncIterator[Payments]:
    """Give 80 payments that take about half a second."""
    async with payments(database_url, 80, delay=0.05) as world:
        world.environment |= {"WORKER_CONCURRENCY": "8", "WORKER_PAGE_SIZE": "20"}
        yield world


@pytest.fixture
def disturb(kill_anywhere: Disturb, world: Payments) -> Disturb:
    """Give the kit, set up for poll-payments."""

    async def disturbed(**how: object) -> Report:
        return await kill_anywhere(
            "poll-payments",
            database=world.url,
            environment=world.environment,
            except_columns=["updated_at", "checked_at"],
            calls=lambda: world.calls.by_ref,
            seed=1,
            **how,
        )

    return disturbed


async def test_poll_payments_survives_kills(disturb: Disturb) -> None:
    """Killed at random instants and at commits, it ends the same; what was asked again was not committed."""
    report = await disturb(kills=3, commits=2)
    assert report.disturbed.total() == 5
    assert report.most_of_one <= 3
    assert report.most_at_once <= 4 * 20 + 8


async def test_poll_payments_survives_stops(disturb: Disturb) -> None:
    """Each SIGTERM ends it with 75 in time; nobody is asked for twice."""
    report = await disturb(stops=3)
    assert report.verdicts["interrupted"] == 3
    assert not report.repeated


async def test_poll_payments_runs_once(disturb: Disturb) -> None:
    """Of two starts at once one works, and one that waits ends with its code; a frozen holder loses its lease to a successor alone."""
    report = await disturb(pairs=3, freezes=3)
    assert report.verdicts["lost its lease"] == 2
    assert report.verdicts["overlapped"] == 1


async def test_poll_payments_survives_cuts(disturb: Disturb) -> None:
    """With its connections cut the same attempt goes on, and asks nobody twice."""
    report = await disturb(cuts=6)
    assert set(report.verdicts) == {"succeeded"}
    assert not report.repeated
