"""The jobs whose work is not in PostgreSQL alone, each in the world of its seed, under the kill-anywhere kit."""

from collections.abc import Awaitable, Callable

import pytest
from aws import Aws
from beside import Read, digests, on_moto, on_queue, orders, sessions

from worker.testing.report import Report
from worker.testing.state import Counts

Disturb = Callable[..., Awaitable[Report]]

SOME = {"kills": 3, "commits": 3, "stops": 2}
PAGES = {"WORKER_PAGE_SIZE": "20", "WORKER_CONCURRENCY": "4"}


@pytest.mark.parametrize(
    ("job", "records", "read", "counts", "disturbance"),
    [
        pytest.param("digest-uploads", 12, digests, "finished", {"commits": 1}, id="sample"),
        pytest.param("digest-uploads", 120, digests, "finished", SOME, id="digest-uploads", marks=pytest.mark.soak),
        pytest.param("expire-sessions", 300, sessions, "at most", SOME, id="expire-sessions", marks=pytest.mark.soak),
        pytest.param("extract-orders", 2_000, orders, "finished", SOME, id="extract-orders", marks=pytest.mark.soak),
        pytest.param(
            "transform-orders", 2_000, orders, "finished", SOME, id="transform-orders", marks=pytest.mark.soak
        ),
    ],
)
async def test_job_survives(
    job: str,
    records: int,
    read: Read,
    counts: Counts,
    disturbance: dict[str, int],
    aws: Aws,
    database_url: str,
    kill_anywhere: Disturb,
) -> None:
    """Killed or stopped anywhere it leaves the same behind; what was written and not committed is skipped, or gone."""
    world = on_moto(job, records, aws, database_url, read)
    report = await kill_anywhere(
        job, database=database_url, world=world, environment=PAGES, counts=counts, seed=11, **disturbance
    )
    assert report.disturbed.total() == sum(disturbance.values())


@pytest.mark.soak
async def test_deliver_webhooks_survives(database_url: str, kill_anywhere: Disturb) -> None:
    """Each webhook arrives once or more, poison is in the dead-letter queue, and nothing is left in the queue."""
    world = on_queue("deliver-webhooks", 150)
    report = await kill_anywhere(
        "deliver-webhooks", database=database_url, world=world, environment=PAGES, counts="at least", seed=11, **SOME
    )
    assert report.disturbed.total() == sum(SOME.values())
