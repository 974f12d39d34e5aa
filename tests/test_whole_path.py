"""The whole path: a schedule fires, one task is started whatever ECS says, its work is done once and its end is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from firing import by_rule, by_scheduler
from function_server import Functions
from launch_events import batch
from local_ecs import LocalEcs
from nights import NIGHT, Night, a_night, exits

from jobs.local.daily_report import TABLE
from worker.launches import Launch


@pytest_asyncio.fixture
async def night(local_ecs: LocalEcs, lambdas: Functions, database_url: str) -> AsyncIterator[Night]:
    """Give a night of payments."""
    async with a_night(local_ecs, lambdas, database_url) as night:
        yield night


@pytest.mark.parametrize("fire", [by_scheduler, by_rule])
async def test_whole_path_without_a_launcher_does_a_run_once(night: Night, fire: Callable[..., dict[str, Any]]) -> None:
    """A schedule that calls RunTask itself, fired twice: two tasks, one of which finds the other's run."""
    night.register(LEASE="3")
    overrides = fire("poll-payments", NIGHT, StartBy="direct")
    tasks = [night.ecs.run("poll-payments", overrides=overrides) for _ in range(2)]
    await night.path.settled()
    await night.is_done()
    verdicts = sorted(night.ecs.end(task)["verdict"] for task in tasks)
    assert verdicts in (["already running", "succeeded"], ["already done", "succeeded"])


@pytest.mark.parametrize("fire", [by_scheduler, by_rule])
async def test_whole_path_fired_twice_starts_one_task(night: Night, fire: Callable[..., dict[str, Any]]) -> None:
    """Both at once: one task, one summary; a third time, when it has long succeeded, none."""
    await asyncio.gather(night.fire(fire), night.fire(fire))
    [task] = await night.path.settled()
    assert exits([task]) == [0]
    await night.is_done()
    await night.fire(fire)
    assert len(night.ecs.tasks()) == 1
    [message] = night.said()
    assert "succeeded" in message


@pytest.mark.parametrize(
    "troubles",
    [
        ["failures", "capacity", "no capacity"],
        ["throttled", "throttled in disguise", "server error"],
        ["ghost"],
    ],
    ids=" ".join,
)
async def test_whole_path_places_one_task_in_the_end(night: Night, troubles: list[str]) -> None:
    """`failures[]` in a 200, no capacity, throttled in whatever disguise, or a task that was started all the same."""
    for trouble in troubles:
        night.ecs.plant(trouble)
    await night.fire()
    assert exits(await night.path.settled()) == [0]
    await night.is_done()
    [message] = night.said()
    assert "succeeded" in message


async def test_whole_path_takes_up_a_task_whose_launcher_died(night: Night) -> None:
    """Its token is another request's: the conflict names the task, which is about to run, and no second one is started."""
    night.ecs.plant("slow start")
    overrides = by_scheduler("poll-payments", NIGHT, StartBy="direct")
    task = night.ecs.run("poll-payments", overrides=overrides, clientToken=token(), startedBy=token())
    await night.fire()
    night.ecs.release(task)
    assert [each["taskArn"] for each in await night.path.settled()] == [task]
    await night.is_done()


async def test_whole_path_starts_anew_where_the_token_s_task_has_stopped(night: Night) -> None:
    """The conflict names a task that is over and did nothing: the run gets one of its own, by another token."""
    task = night.ecs.run("poll-payments", "list", clientToken=token(), startedBy=token())
    await night.ecs.until(task, "STOPPED")
    await night.fire()
    first, second = await night.path.settled()
    assert exits([first, second]) == [0, 0]
    assert second["startedBy"] != token()
    await night.is_done()


def token() -> str:
    """Give the client token of the run's first launch."""
    run_id, now = f"poll-payments:{NIGHT}", datetime.now(UTC)
    return Launch(run_id=run_id, job="poll-payments", number=1, lease="", scope_hash="", reserved_at=now).id


async def test_whole_path_passes_a_large_scope_by_reference(night: Night) -> None:
    """9,000 characters go to S3, and arrive: of a region that has a name so long nothing was sold."""
    await night.world.sql(TABLE)
    await night.world.sql(
        "INSERT INTO purchases (id, region, amount_cents, sold_at) VALUES (1, 'eu', 1, '2026-11-22T12:00Z')"
    )
    night.path.register("daily-report", {"REPORTS_BUCKET": night.path.bucket})
    for scope, read in (({}, 1), ({"region": "eu" * 4_500}, 0)):
        await night.path.launch({"job": "daily-report", "scope": {"date": "2026-11-22", **scope}, "trigger": "hand"})
        *_, task = await night.path.settled()
        assert night.ecs.end(task["taskArn"])["tally"]["read"] == read
    [kept] = [key for key in night.ecs.keys(night.path.bucket) if "sales" not in key]
    assert b"eueueu" in night.ecs.body(night.path.bucket, kept)


async def test_whole_path_puts_poison_aside_and_starts_the_rest(night: Night) -> None:
    """What no launcher could ever start goes to the dead letters, each with its reason; beside it in the batch a run starts."""
    request = by_scheduler("poll-payments", NIGHT)
    poison = [
        "no JSON",
        json.dumps(request | {"job": "poll-paymnets"}),
        json.dumps(request | {"scope": {"merchant": 1}}),
    ]
    answer = await night.path.launch(batch(*poison, json.dumps(request)))
    assert answer["batchItemFailures"] == []
    assert exits(await night.path.settled()) == [0]
    [message] = night.said()
    assert "succeeded" in message
    buried = [json.dumps(each) for each in night.path.buried()]
    for reason in ("JSON", "did you mean 'poll-payments'?", "merchant_id"):
        assert any(reason in each for each in buried), buried
    assert len(buried) == len(poison)


async def test_whole_path_at_its_cap_leaves_the_queue_s_items_for_later(night: Night) -> None:
    """One task at most, of all jobs: the other item goes back to its queue, and starts when the first task's end was told."""
    night.path.environment["LAUNCH_MAX_TASKS"] = "1"
    await night.world.sql(TABLE)
    night.path.register("daily-report", {"REPORTS_BUCKET": night.path.bucket})
    asked: list[dict[str, Any]] = [{"job": "poll-payments"}, {"job": "daily-report", "scope": {"date": "2026-11-22"}}]
    items = [json.dumps({**each, "run_key": "one", "trigger": "sqs"}) for each in asked]
    answer = await night.path.launch(batch(*items))
    [back] = answer["batchItemFailures"]
    assert len(night.ecs.tasks()) == 1
    await night.path.settled()
    again = await night.path.launch(batch(items[int(back["itemIdentifier"][-1])]))
    assert again["batchItemFailures"] == []
    assert exits(await night.path.settled()) == [0, 0]
    runs = await night.world.sql("SELECT run_id, status FROM worker.runs ORDER BY run_id")
    assert [tuple(run) for run in runs] == [("daily-report:one", "succeeded"), ("poll-payments:one", "succeeded")]
    assert night.path.buried() == []
