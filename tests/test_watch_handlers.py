"""worker/functions: the reporter and the auditor as Lambda calls them, by the environment alone, on a local ECS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from endings import an_event
from local_ecs import NETWORK, LocalEcs
from payments import Payments, payments
from slack_server import Reply, slack
from test_local_ecs import registered

from worker.errors import Faults
from worker.functions import auditor, reporter

_KEY = "2026-11-24T02:00:00Z"


@pytest_asyncio.fixture
async def world(database_url: str) -> AsyncIterator[Payments]:
    """Give payments and a provider."""
    async with payments(database_url, 40) as world:
        yield world


@pytest.fixture
def environment(local_ecs: LocalEcs, world: Payments, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set what the functions' stack sets, the database's URL as a secret."""
    given = {
        **local_ecs.environment,
        "DATABASE_URL_ARN": local_ecs.secret("watch/DATABASE_URL", world.environment["DATABASE_URL"]),
        "DATABASE_URL": "",
        "LAUNCH_CLUSTER": local_ecs.cluster,
        "LAUNCH_SUBNETS": "subnet-1",
        "LAUNCH_SECURITY_GROUPS": "sg-1",
        "ALERTS_TOPIC": local_ecs.client("sns").create_topic(Name="alerts")["TopicArn"],
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


async def called(handler: Callable[..., dict[str, Any]], event: Any) -> dict[str, Any]:
    """Call a handler as Lambda does: in no event loop of ours."""
    return await asyncio.to_thread(handler, event, None)


async def _event(ecs: LocalEcs, queue: str) -> dict[str, Any]:
    """Wait for a task's end, as its rule tells it."""
    async with asyncio.timeout(30):
        while True:
            if events := await asyncio.to_thread(ecs.received, queue):
                return events[0]
            await asyncio.sleep(0.05)


async def test_reporter_brings_a_run_to_its_end_whose_host_was_lost(
    local_ecs: LocalEcs, world: Payments, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real event, the real launcher: the run goes on in a second task, and Slack hears of it once."""
    stopped = {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"], "detail": {"lastStatus": ["STOPPED"]}}
    queue = local_ecs.listen(stopped)
    registered(local_ecs, world, WORKER_RATE="20", LEASE="1")
    pair = {"name": "worker", "environment": [{"name": "RUN_KEY", "value": _KEY}]}
    first = local_ecs.ecs.run_task(
        cluster=local_ecs.cluster,
        taskDefinition="poll-payments",
        launchType="FARGATE",
        networkConfiguration=NETWORK,
        overrides={"containerOverrides": [pair]},
    )["tasks"][0]["taskArn"]
    await local_ecs.line(first, "started")
    local_ecs.strike(first, "host lost")
    event = await _event(local_ecs, queue)
    with slack(Reply()) as chat:
        monkeypatch.setenv("SLACK_WEBHOOK_URL", chat.url)
        told = [await called(reporter.handler, event) for _ in range(2)]
        assert [told[0]["verdict"], told[1]["again"]] == ["host lost", None]
        [(_, _, message)] = chat.posted
        assert message["text"].startswith("🔁 poll-payments: host lost")
        second = local_ecs.tasks()[-1]["taskArn"]
        assert second in told[0]["again"]
        await local_ecs.until(second, "STOPPED")
        assert local_ecs.end(second)["verdict"] == "succeeded"
        event = await _event(local_ecs, queue)
        assert await called(reporter.handler, event) == {"task": second, "verdict": "succeeded", "again": None}
        assert len(chat.posted) == 1
    assert len(local_ecs.tasks()) == 2


async def test_auditor_looks_at_the_jobs_that_are_there(environment: dict[str, str], world: Payments) -> None:
    """New as they are, none of them owes a run."""
    assert await called(auditor.handler, {"source": "aws.scheduler"}) == {"told": []}


async def test_reporter_without_a_run_store_says_so(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda keeps the event."""
    monkeypatch.delenv("DATABASE_URL_ARN")
    with pytest.raises(Faults, match="DATABASE_URL is not set"):
        await called(reporter.handler, an_event())
