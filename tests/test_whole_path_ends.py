"""The whole path of a task that does not end well: what the reporter says, whether it starts the run again, and that nothing is done twice."""

from collections.abc import AsyncIterator

import pytest_asyncio
from function_server import Functions
from local_ecs import LocalEcs
from nights import NIGHT, Night, a_night, exits


@pytest_asyncio.fixture
async def night(local_ecs: LocalEcs, lambdas: Functions, database_url: str) -> AsyncIterator[Night]:
    """Give a night of payments."""
    async with a_night(local_ecs, lambdas, database_url) as night:
        yield night


async def test_whole_path_resumes_after_spot(night: Night) -> None:
    """Interrupted, it drains and exits 75; the reporter starts the same run again, which goes on where it was."""
    night.ecs.strike(await night.half_way(), "spot")
    first, second = await night.path.settled()
    assert exits([first, second]) == [75, 0]
    assert first["stopCode"] == "SpotInterruption"
    assert "goes on after" in (await night.ecs.line(second["taskArn"], "started"))["event"]
    await night.is_done()
    told = [next(word for word in ("interrupted", "succeeded") if word in message) for message in night.said()]
    assert told == ["interrupted", "succeeded"], "each attempt by its own worker"


async def test_whole_path_resumes_after_a_host_was_lost(night: Night) -> None:
    """No exit code and no last word: the reporter tells Slack what the worker could not, and starts the run again."""
    night.ecs.strike(await night.half_way(), "host lost")
    assert exits(await night.path.settled()) == [None, 0]
    await night.is_done()
    lost, succeeded = night.said()
    assert "host lost" in lost
    assert "restart 1 of at most 3" in lost
    assert "succeeded" in succeeded


async def test_whole_path_tells_of_memory_and_waits_for_somebody(night: Night) -> None:
    """Out of memory it would only die again: Slack hears a size that may do; started by hand, the run goes on."""
    night.ecs.strike(await night.half_way(), "out of memory")
    assert exits(await night.path.settled()) == [137]
    [message] = night.said()
    assert "out of memory" in message
    assert "give it 1024, and the task cpu 512 and memory 2048" in message
    assert f"python -m worker launch poll-payments --run-key {NIGHT}" in message
    night.register()  # by hand it goes on with the newest revision: at full speed
    await night.path.launch({"job": "poll-payments", "run_key": NIGHT, "trigger": "hand"})
    assert exits(await night.path.settled()) == [137, 0]
    await night.is_done()


async def test_whole_path_starts_again_what_never_started(night: Night) -> None:
    """Its network did not come up: the container never ran, and the next one does."""
    night.ecs.plant("no network")
    await night.fire()
    assert exits(await night.path.settled()) == [None, 0]
    await night.is_done()
    never, succeeded = night.said()
    assert "no network in time" in never
    assert "succeeded" in succeeded


async def test_whole_path_gives_up_on_what_never_starts(night: Night) -> None:
    """Three times it is started again, then somebody has to look."""
    for _ in range(4):
        night.ecs.plant("no network")
    await night.fire()
    assert exits(await night.path.settled()) == [None] * 4
    assert len(night.said()) == 4
    assert "not started again" in night.said()[-1]
