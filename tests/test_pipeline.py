"""The pipeline's state machine, as it stands in the stack, executed: each step a task that runs, its ends judged and told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Protocol

import pytest
import pytest_asyncio
from local_ecs import LocalEcs
from orders_room import STEPS, Orders
from pipeline_room import Pipeline, register

from jobs.local._orders import DAY, extracted, ordered
from worker.database import Link
from worker.store.migrate import migrate


class Making(Protocol):
    """Make a pipeline with such parameters."""

    def __call__(self, **parameters: str) -> Pipeline: ...  # noqa: D102


@pytest.fixture
def pipeline(local_ecs: LocalEcs) -> Iterator[Making]:
    """Give what makes pipelines."""
    with ExitStack() as made:

        def make(**parameters: str) -> Pipeline:
            one = Pipeline(local_ecs, **parameters)
            made.callback(one.close)
            return one

        yield make


@pytest_asyncio.fixture
async def orders(database_url: str, local_ecs: LocalEcs) -> AsyncIterator[Orders]:
    """Give a database with the run store, an empty bucket, and the steps' definitions."""
    async with Link(database_url, "test") as link:
        await migrate(link)
    orders = Orders(database_url, local_ecs, local_ecs.bucket())
    register(local_ecs, orders, *STEPS)
    yield orders


async def test_pipeline_takes_a_date_through_its_steps_and_again_changes_nothing(
    pipeline: Making, orders: Orders, local_ecs: LocalEcs
) -> None:
    """One task a step, in their order; the same date again: the same runs, which are done already."""
    await orders.seeded(ordered)
    machine = pipeline()
    assert succeeded(await machine.run(date=f"{DAY}"))
    assert machine.exits() == [(step, 0) for step in STEPS]
    assert await orders.is_right()
    before = await orders.state()
    assert succeeded(await machine.run(date=f"{DAY}"))
    assert [local_ecs.end(task["taskArn"])["verdict"] for task in local_ecs.tasks()[3:]] == ["already done"] * 3
    assert await orders.state() == before
    assert [notice["Subject"] for notice in machine.notices("completed")] == [f"orders of {DAY}: completed"] * 2
    assert machine.notices("alerts") == []


async def test_pipeline_tells_which_step_failed_and_what_to_do(
    pipeline: Making, orders: Orders, local_ecs: LocalEcs
) -> None:
    """A part that is damaged fails its step: the notice says which, of which run, with which code, and the next command; no later step runs."""
    await orders.seeded(extracted)
    key = f"raw/{DAY}/000000002.jsonl.gz"
    whole = local_ecs.body(orders.bucket, key)
    local_ecs.s3.put_object(Bucket=orders.bucket, Key=key, Body=whole[:-200])
    machine = pipeline(Steps="transform-orders,load-orders")
    execution = await machine.run(date=f"{DAY}")
    assert (execution["status"], execution["error"], machine.exits()) == (
        "FAILED",
        "StepFailed",
        [("transform-orders", 1)],
    )
    [notice] = machine.notices("alerts")
    assert notice["Subject"] == f"orders of {DAY}: failed at transform-orders"
    for said in (
        f"orders of {DAY} failed at transform-orders, step 1 of 2.",
        "The task exited 1 (EssentialContainerExited), try 1 of 4: Essential container in task exited; arn:aws:ecs:",
        "What was committed stays",
        f"Look: python -m worker runs show transform-orders:{DAY}",
        f'Next: aws stepfunctions start-execution --state-machine-arn {machine.machine} --input \'{{"date":"{DAY}"}}\'',
    ):
        assert said in notice["Message"], notice["Message"]
    local_ecs.s3.put_object(Bucket=orders.bucket, Key=key, Body=whole)
    assert succeeded(await machine.run(date=f"{DAY}"))
    assert await orders.is_right()


async def test_pipeline_starts_again_what_did_not_start_or_was_interrupted(
    pipeline: Making, orders: Orders, local_ecs: LocalEcs
) -> None:
    """No capacity, no network, a task taken back by Spot: a further task each, and the last one does the rest."""
    await orders.seeded(ordered)
    register(local_ecs, orders, "extract-orders", WORKER_RATE="1")
    for trouble in ("capacity", "no network"):
        local_ecs.plant(trouble)
    machine = pipeline(Steps="extract-orders")
    execution = machine.start(time=f"{DAY + timedelta(days=1)}T00:30:00Z")
    slow = await machine.task(after=set())
    await local_ecs.line(slow, "started")
    register(local_ecs, orders, "extract-orders")
    local_ecs.strike(slow, "spot")
    assert succeeded(await machine.ended(execution))
    assert [code for _, code in machine.exits()] == [None, 75, 0]
    assert len(local_ecs.keys(orders.bucket, f"raw/{DAY}/0")) == 6


async def test_pipeline_gives_up_after_so_many_tasks(pipeline: Making, orders: Orders, local_ecs: LocalEcs) -> None:
    """What never starts is told with ECS's own reason; what was stopped by hand is not started again."""
    await orders.seeded(ordered)
    for _ in range(2):
        local_ecs.plant("no image")
    machine = pipeline(Steps="extract-orders", Tries="2")
    assert (await machine.run(date=f"{DAY}"))["status"] == "FAILED"
    [notice] = machine.notices("alerts")
    assert "ended without an exit code (TaskFailedToStart), try 2 of 2: CannotPullContainerError" in notice["Message"]
    register(local_ecs, orders, "extract-orders", WORKER_RATE="1")
    execution = machine.start(date=f"{DAY}")
    slow = await machine.task(after=set())
    await local_ecs.line(slow, "started")
    local_ecs.ecs.stop_task(cluster=local_ecs.cluster, task=slow)
    assert (await machine.ended(execution))["status"] == "FAILED"
    [notice] = machine.notices("alerts")
    assert "exited 75 (UserInitiated), try 1 of 2" in notice["Message"]


async def test_pipeline_twice_at_once_ends_the_same(pipeline: Making, orders: Orders) -> None:
    """Two executions of a date: the second's tasks follow the first's, none runs ahead, each part is loaded once."""
    await orders.seeded(ordered)
    machine = pipeline()
    both = [machine.start(date=f"{DAY}") for _ in range(2)]
    for execution in await asyncio.gather(*map(machine.ended, both)):
        assert succeeded(execution)
    assert sorted(machine.exits()) == sorted((step, 0) for step in (*STEPS, *STEPS))
    assert await orders.is_right()
    assert len(machine.notices("completed")) == 2


async def test_pipeline_shards_a_step_and_starts_a_lost_shard_again(
    pipeline: Making, orders: Orders, local_ecs: LocalEcs
) -> None:
    """A step in two tasks; the host of one is lost: that shard alone gets another task, and the run ends once."""
    await orders.seeded(ordered)
    register(local_ecs, orders, "extract-orders", WORKER_RATE="4", LEASE="1")
    machine = pipeline(Steps="extract-orders,transform-orders", Shards="2,1")
    execution = machine.start(date=f"{DAY}")
    lost = await machine.task(after=set())
    await local_ecs.line(lost, "started")
    local_ecs.strike(lost, "host lost")
    assert succeeded(await machine.ended(execution))
    codes = sorted((job, str(code)) for job, code in machine.exits())
    assert codes == [
        ("extract-orders", "0"),
        ("extract-orders", "0"),
        ("extract-orders", "None"),
        ("transform-orders", "0"),
    ]
    assert len(local_ecs.keys(orders.bucket, f"clean/{DAY}/0")) == 6


def succeeded(execution: dict[str, Any]) -> bool:
    """Tell whether it did; say what it died of, where it did not."""
    assert execution["status"] == "SUCCEEDED", (execution.get("error"), execution.get("cause"))
    return True
