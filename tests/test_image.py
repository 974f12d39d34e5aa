"""The image itself, run as ECS runs it: what is in it, and how it is stopped and starved (`.ci/image`, `make image-test`)."""

import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from containers import IMAGE, container, described, python
from payments import Payments, expected, payments
from test_soak_kill import COUNT_WRITES

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(not IMAGE, reason="IMAGE names no image to test: make image-test IMAGE=name:tag, or .ci/image"),
]

ROOT = Path(__file__).parent.parent
RECORDS = 600
GROW = "x = bytearray(200_000_000); print(len(x))"


@pytest_asyncio.fixture
async def world(database_url: str) -> AsyncIterator[Payments]:
    """Give payments that take about two seconds, each with a count of its writes, outside the container."""
    async with payments(database_url, RECORDS, delay=0.01) as world:
        for statement in COUNT_WRITES:
            await world.sql(statement)
        world.environment |= {"WORKER_RATE": "300", "WORKER_PAGE_SIZE": "100", "RUN_KEY": "night", "LEASE": "2"}
        yield world


async def holds_all(world: Payments, before: dict[str, str]) -> bool:
    """Tell whether every payment has the status that it must have, written once."""
    writes = {row["writes"] for row in await world.sql("SELECT DISTINCT writes FROM payments")}
    return (await world.statuses(), writes) == (expected(before), {0, 1})


async def test_image_has_nothing_to_install_with_and_may_write_nowhere() -> None:
    """It runs compiled code as nobody in particular, without capabilities, pip, compilers or servers for tests."""
    code, said = await python((ROOT / ".ci" / "inside.py").read_text())
    assert code == 0, said
    print(said)


async def test_image_says_how_it_is_run_and_what_it_is() -> None:
    """Entrypoint, stop signal, user and labels are in the image, whoever starts it."""
    config = (await described())["Config"]
    assert (config["Entrypoint"], config["StopSignal"], config["User"]) == (
        ["python", "-m", "worker"],
        "SIGTERM",
        "10001:10001",
    )
    labels = {name.removeprefix("org.opencontainers.image.") for name in config["Labels"]}
    assert labels >= {"title", "description", "version", "revision", "base.name"}
    assert config["Labels"]["org.opencontainers.image.base.name"], (
        "a global ARG is empty in a stage that does not name it"
    )
    assert f"DD_VERSION={config['Labels']['org.opencontainers.image.version']}" in config["Env"]


async def test_image_has_the_size_that_the_readme_says() -> None:
    """It is no larger than README.md says, within 5 %; on a smaller base (python:3.13-slim) it may be a fifth smaller."""
    said = re.search(r"The image that ECS runs has about (\d+) MB", (ROOT / "README.md").read_text())
    size = (await described())["Size"] / 1e6
    print(f"the image has {size:.0f} MB")
    assert said is not None
    assert 0.8 < size / float(said[1]) < 1.05


async def test_image_does_the_main_job(world: Payments) -> None:
    """poll-payments against a database outside: exit 0, every payment written once."""
    before = await world.statuses()
    async with container("poll-payments", **world.environment | {"WORKER_RATE": "0"}) as running:
        assert await running.ended() == 0, await running.errors()
    assert await holds_all(world, before)


async def test_image_is_stopped_in_time_and_resumed(world: Payments) -> None:
    """Stopped in the middle it exits 75 within the stop timeout, all that is finished committed; a second container does the rest."""
    before = await world.statuses()
    async with container("poll-payments", STOP_TIMEOUT="10", **world.environment) as running:
        await world.calls.until(RECORDS // 3)
        began = time.monotonic()
        await running.stop(10)
        assert await running.ended() == 75, await running.errors()
        took = time.monotonic() - began
    print(f"stopped in {took:.1f} s: {json.dumps(running.end['tally'])}")
    assert took < 10
    assert 0 < running.end["tally"]["done"] < RECORDS
    async with container("poll-payments", **world.environment) as again:
        assert await again.ended() == 0, await again.errors()
    assert again.end["attempt"] == 2
    assert await holds_all(world, before)
    assert max(world.calls.by_ref.values()) == 1


async def test_image_killed_for_its_memory_is_resumed(world: Payments) -> None:
    """A page of monstrous rows gets it killed, exit 137, after others were committed; when they are mended it goes on."""
    if (await python(GROW, "--memory", "64m", "--memory-swap", "64m"))[0] == 0:
        pytest.skip("memory limits are not enforced on this machine: nothing is killed for its memory")
    before = await world.statuses()
    await unnoticed(world, "provider_ref || repeat('x', 1000000)")
    async with container("poll-payments", memory="128m", **world.environment) as starved:
        assert await starved.ended() == 137
    assert not [line for line in starved.lines if "verdict" in line], "it could say nothing"
    assert await world.sql("SELECT id FROM payments WHERE writes = 1"), "some were committed before"
    await unnoticed(world, "rtrim(provider_ref, 'x')")
    async with container("poll-payments", **world.environment) as again:
        assert await again.ended() == 0, await again.errors()
    assert again.end["attempt"] == 2
    assert await holds_all(world, before)


async def unnoticed(world: Payments, reference: str) -> None:
    """Change the references of the later half of the payments; no write of the job's."""
    await world.sql("ALTER TABLE payments DISABLE TRIGGER count_write")
    await world.sql(f"UPDATE payments SET provider_ref = {reference} WHERE id > $1", RECORDS // 2)
    await world.sql("ALTER TABLE payments ENABLE TRIGGER count_write")


async def test_image_without_the_extra_says_so() -> None:
    """Asked for traces, an image that was built without them says which image it takes, and does nothing."""
    async with container("poll-payments", DD_TRACE_ENABLED="true", DD_AGENT_HOST="127.0.0.1") as running:
        assert await running.ended() == 2
    assert any("make the image with EXTRAS=traces" in fault for fault in running.faults)
