"""The whole path: a schedule fires, a task runs, its end is told, whatever goes wrong on the way."""

from collections.abc import Callable
from typing import Any

import pytest
from firing import DIRECT, by_rule, by_scheduler
from local_ecs import LocalEcs
from payments import expected, payments
from slack_server import Reply, slack

NIGHT = "2026-11-23T02:00:00Z"


@pytest.mark.parametrize("fire", [by_scheduler, by_rule])
async def test_whole_path_without_a_launcher_does_a_run_once(
    local_ecs: LocalEcs, database_url: str, fire: Callable[..., dict[str, Any]]
) -> None:
    """A schedule that calls RunTask itself, fired twice: two tasks, one of which finds the other's run."""
    async with payments(database_url, 100) as world:
        before = await world.statuses()
        environment = world.environment | {"LEASE": "1"}
        with slack(Reply()) as channel:
            names = ("DATABASE_URL", "STRIPE_API_KEY")
            secret = {name: environment.pop(name) for name in names} | {"SLACK_WEBHOOK_URL": f"{channel.url}/hook"}
            definition = local_ecs.register("poll-payments", secret, environment)
            tasks = [local_ecs.run(definition, overrides=fire("poll-payments", NIGHT, DIRECT)) for _ in range(2)]
            for task in tasks:
                await local_ecs.until(task, "STOPPED")
        assert await world.statuses() == expected(before)
    verdicts = {local_ecs.end(task)["verdict"] for task in tasks}
    assert "succeeded" in verdicts
    assert verdicts <= {"succeeded", "already running", "already done"}
    assert len(channel.posted) == 1 or "already running" in str(channel.posted)
