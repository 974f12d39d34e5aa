"""worker/launches.py, kept by every run store: room is reserved once, never beyond the caps, and given back."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from examples import a_summary
from store_worlds import StoreWorld, granted
from stored import a_claim
from test_launches import asked

from worker.launches import OVER, PLACED, RESERVED, Asked, Full, Known, Launch, Launches, Reserved
from worker.tally import Tally
from worker.verdict import Verdict


async def reserved(launches: Launches, wanted: Asked | None = None) -> Launch:
    """Reserve what nothing stands in the way of."""
    answer = await launches.reserve(wanted or asked(scope_hash=a_claim().scope_hash))
    assert isinstance(answer, Reserved), answer
    return answer.launch


def one_of_many(number: int, **changes: Any) -> Asked:
    """Give one of many runs of a job that may have several at once."""
    return asked(run_key=f"{number}", lease=f"poll-payments {number}", most_of_job=4, **changes)


async def test_launch_is_reserved_placed_and_released(run_store: StoreWorld) -> None:
    """Every launcher sees how it stands, and its whole request."""
    one, other, third, _ = run_store.launches
    launch = await reserved(one, asked(request={"job": "poll-payments", "scope": {"ids": [1, "ü"]}}))
    assert await other.reserve(asked()) == Known(launch.run_id, RESERVED)
    assert [(held.id, held.state) for held in await other.live()] == [(launch.id, RESERVED)]
    await one.placed(launch, "arn:task")
    assert await other.reserve(asked()) == Known(launch.run_id, PLACED, "arn:task")
    over = await third.released(launch.id, "exit 75")
    assert over is not None
    assert (over.state, over.task_arn, over.reason) == (OVER, "arn:task", "exit 75")
    assert over.request["scope"]["ids"][0] == 1
    assert await one.live() == []
    assert await third.released(launch.id, "told again") == over
    assert await third.released("nobody-1-0", "") is None


async def test_launch_that_failed_leaves_its_room(run_store: StoreWorld) -> None:
    """The next one has the next number."""
    one, other, *_ = run_store.launches
    launch = await reserved(one)
    await one.failed(launch, "RESOURCE:CPU")
    assert await one.live() == []
    assert (await reserved(other)).number == 2


async def test_launch_whose_task_stopped_before_it_was_noted_stays_over(run_store: StoreWorld) -> None:
    """News may come in any order; a late "placed" brings nothing back to life."""
    one, other, *_ = run_store.launches
    launch = await reserved(one)
    over = await other.released(launch.id, "exit 0", "arn:task")
    assert over is not None
    assert (over.state, over.task_arn) == (OVER, "arn:task")
    await one.placed(launch, "arn:task")
    await one.failed(launch, "late")
    assert await one.live() == []
    answer = await one.reserve(asked(scope_hash=launch.scope_hash))
    assert answer == Known(launch.run_id, OVER, "arn:task")


async def test_launch_that_was_given_up_and_has_a_task_all_the_same_takes_room(run_store: StoreWorld) -> None:
    """Somebody had thought that its launcher was dead."""
    one, other, *_ = run_store.launches
    launch = await reserved(one)
    await other.failed(launch, "its launcher died")
    await one.placed(launch, "arn:task")
    assert [(held.state, held.task_arn) for held in await other.live()] == [(PLACED, "arn:task")]


async def test_launch_knows_what_became_of_its_run(run_store: StoreWorld) -> None:
    """A run that was begun is known to events, whoever had started it; one that succeeded is known to all."""
    store, launches = run_store.stores[0], run_store.launches[0]
    wanted = asked(scope_hash=a_claim().scope_hash, run_key=a_claim().run_key)
    await granted(store)
    assert isinstance(await launches.reserve(wanted), Known)
    await store.end(a_summary(Verdict.ABORTED, tally=Tally(read=3, done=3)))
    assert await launches.reserve(wanted) == Known(wanted.run_id, "aborted")
    again = asked(scope_hash=wanted.scope_hash, run_key=wanted.run_key, again=True)
    launch = await reserved(launches, again)
    await launches.released(launch.id, "exit 0")
    await granted(store)
    await store.end(a_summary(Verdict.SUCCEEDED, tally=Tally(read=3, done=3)))
    assert await launches.reserve(again) == Known(wanted.run_id, "succeeded")


async def test_launches_of_one_run_are_reserved_once(run_store: StoreWorld) -> None:
    """However many launchers are told of it at the same moment."""
    answers = await asyncio.gather(*(launches.reserve(asked()) for launches in [*run_store.launches] * 2))
    assert sum(isinstance(answer, Reserved) for answer in answers) == 1
    assert {type(answer) for answer in answers} == {Reserved, Known}


@pytest.mark.parametrize("cap", ["of the job", "in all"])
async def test_launches_at_once_never_exceed_a_cap(run_store: StoreWorld, cap: str) -> None:
    """Eight launchers, eight runs, room for four; then as many as were given back."""
    most = {"most": 4} if cap == "in all" else {"most": 100}
    wanted = [one_of_many(number, **most) for number in range(8)]
    if cap == "in all":
        wanted = [asked(run_key=one.run_key, job=f"job-{one.run_key}", lease=one.lease, most=4) for one in wanted]

    async def all_at_once() -> Sequence[Launch]:
        turns = zip([*run_store.launches] * 2, wanted, strict=True)
        answers = await asyncio.gather(*(launches.reserve(one) for launches, one in turns))
        assert all(isinstance(answer, (Reserved, Full, Known)) for answer in answers)
        return [answer.launch for answer in answers if isinstance(answer, Reserved)]

    first = await all_at_once()
    assert len(first) == 4
    assert len(await run_store.launches[0].live()) == 4
    await run_store.launches[1].released(first[0].id, "exit 0")
    await run_store.launches[2].failed(first[1], "RESOURCE:CPU")
    assert len(await all_at_once()) == 2


async def test_launches_number_the_shards_of_a_run_apart(run_store: StoreWorld) -> None:
    """Each shard is a task of its own."""
    one, *_ = run_store.launches
    shards = [asked(shard=f"{i}/2", lease=f"poll-payments {i}/2", most_of_job=2) for i in (1, 2)]
    ids = {(await reserved(one, shard)).id for shard in shards}
    assert len(ids) == 2
