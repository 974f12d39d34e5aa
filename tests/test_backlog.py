"""worker/aws/backlog.py: as many tasks as a queue's backlog needs, none twice, and no more than the job may have."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from launching import World, launching, register, register_waiting
from local_ecs import LocalEcs
from test_launches import a_launch

from worker.aws.backlog import missing
from worker.job import Job
from worker.launches import Answer, Launched, Refused
from worker.occasions import Backlog
from worker.request import read
from worker.scope import Scope

NAME = "deliver-webhooks"


class Share(Scope):
    """Which of the tasks."""

    part: int = 0
    region: str | None = None


class Deliver(Job[Share]):
    """Two messages a task."""

    name = NAME
    one_per_scope, max_tasks = True, 4
    backlog = Backlog(queue="WEBHOOK_QUEUE_URL", per_task=2)


def parts(messages: int, *live: int, **scope: Any) -> list[int]:
    """Give the parts that are missing, with these alive."""
    leases = [f"{NAME} {({'part': part} if part else {}) | scope}" for part in live]
    living = [a_launch(job=NAME, number=number, lease=lease) for number, lease in enumerate(leases)]
    request = read({"job": NAME, "backlog": True, "scope": scope}, lambda name: Deliver, "at")
    return [one["scope"]["part"] for one in missing(request, messages, living)]


@pytest.mark.parametrize(
    ("messages", "live", "wanted"),
    [
        (0, (), []),
        (1, (), [0]),
        (2, (), [0]),
        (3, (), [0, 1]),
        (1_000, (), [0, 1, 2, 3]),
        (1_000, (0, 2), [1, 3]),
        (1_000, (0, 1, 2, 3), []),
        (3, (1,), [0]),
        (2, (3,), []),
    ],
)
def test_backlog_needs_a_task_for_so_many_messages(messages: int, live: tuple[int, ...], wanted: list[int]) -> None:
    """Rounded up, without those that live, up to the cap."""
    assert parts(messages, *live) == wanted


def test_backlog_keeps_the_rest_of_the_scope() -> None:
    """What narrows one task narrows all."""
    assert parts(1_000, 0, region="eu") == [1, 2, 3]


def test_backlog_needs_its_tasks_beside_dry_ones() -> None:
    """They take no message away."""
    dry = a_launch(job=NAME, lease=f"{NAME} dry", dry_run=True)
    request = read({"job": NAME, "backlog": True}, lambda name: Deliver, "at")
    assert len(missing(request, 3, [dry])) == 2


def test_backlog_gives_each_task_its_part_of_a_scope_that_is_kept_elsewhere() -> None:
    """A reference would have them all read the same."""
    request = read({"job": NAME, "backlog": True, "scope": {"region": "eu"}}, lambda name: Deliver, "at")
    found = missing(request.referring("s3://bucket/key"), 3, [])
    assert [(one["scope"], "scope_ref" in one) for one in found] == [
        ({"part": 0, "region": "eu"}, False),
        ({"part": 1, "region": "eu"}, False),
    ]


@pytest_asyncio.fixture
async def world(local_ecs: LocalEcs, database_url: str) -> AsyncIterator[World]:
    """Give a launcher of that job, whose tasks live until they are struck, and its queue with five messages."""
    queue = local_ecs.sqs.create_queue(QueueName=f"{local_ecs.cluster}-hooks")["QueueUrl"]
    for number in range(5):
        local_ecs.sqs.send_message(QueueUrl=queue, MessageBody=str(number))
    register_waiting(local_ecs, NAME, "WEBHOOK_SECRET", WEBHOOK_QUEUE_URL=queue)
    async with launching(local_ecs, database_url) as world:
        world.launcher.load = lambda name: Deliver
        yield world


async def test_backlog_is_worked_off_by_tasks_of_one_part_each(world: World) -> None:
    """The queue's URL is what the task definition says; a second look at the same moment starts nothing more."""
    answers = await world.launcher.launch_all({"job": NAME, "backlog": True})
    assert [type(answer) for answer in answers] == [Launched] * 3
    told = [task["overrides"]["containerOverrides"][0]["environment"] for task in world.ecs.tasks()]
    environments = [{pair["name"]: pair["value"] for pair in pairs} for pairs in told]
    assert sorted(each.get("JOB_PART", "0") for each in environments) == ["0", "1", "2"]
    assert {each["TRIGGER"] for each in environments} == {"backlog"}
    assert await world.launcher.launch_all({"job": NAME, "backlog": True}) == []
    await killed(world, answers)


async def test_backlog_has_tasks_again_though_nobody_told_that_they_ended(world: World) -> None:
    """The reporter may be away: the launcher asks ECS before it counts on a task."""
    await killed(world, await world.launcher.launch_all({"job": NAME, "backlog": True}))
    again = await world.launcher.launch_all({"job": NAME, "backlog": True})
    assert [type(answer) for answer in again] == [Launched] * 3
    await killed(world, again)


async def killed(world: World, answers: list[Answer]) -> None:
    """Kill their tasks, and wait until ECS knows."""
    for answer in answers:
        assert isinstance(answer, Launched)
        world.ecs.strike(answer.task_arn, "killed")
        await world.ecs.until(answer.task_arn, "STOPPED")


async def test_backlog_of_a_job_without_one_is_refused(world: World) -> None:
    """Or of a definition that does not name the queue."""
    register(world.ecs, NAME, WEBHOOK_QUEUE_URL="")
    [answer] = await world.launcher.launch_all({"job": NAME, "backlog": True})
    assert isinstance(answer, Refused)
    assert "has no WEBHOOK_QUEUE_URL" in str(answer)
    world.launcher.load = lambda name: Job
    [answer] = await world.launcher.launch_all({"job": NAME, "backlog": True})
    assert "works off no backlog" in str(answer)
