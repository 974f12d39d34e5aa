"""Four tasks that share a limit of 200/s: real processes, a real run store, and what the provider counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest
from payments import Payments, payments
from worker_process import Worker, worker

RATE = 200
JOB = '''"""Ask the provider about a part of the payments."""

from worker import Job, Limits, Rate, Scope, Stripe, done, postgres


class Part(Scope):
    part: int = 0
    most: int = 0


class PollPart(Job[Part]):
    limits = Limits(concurrency=64, rate=Rate(200, name="stripe", shared=True), page_size=200)
    one_per_scope = True
    secrets = ("STRIPE_API_KEY",)
    environment = {"STRIPE_API_BASE": None}

    def source(self, run):
        rows = "SELECT id, provider_ref FROM payments WHERE id % 4 = $1 AND id <= $2"
        return postgres.query(rows, run.scope.part, run.scope.most, key="id")

    async def open(self, run):
        self.stripe = await run.enter(Stripe(run))

    async def process(self, payment, run):
        return done((await self.stripe.payment_intent(payment["provider_ref"])).status)
'''
_RUNS = count()


@pytest.fixture
async def world(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Payments]:
    """Give payments, a provider without a limit of its own, and a job that shares one."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    monkeypatch.chdir(tmp_path)
    (jobs / "__init__.py").touch()
    (jobs / "poll_part.py").write_text(JOB)
    root = str(Path(__file__).parent.parent)
    async with payments(database_url, 30_000, rate=0, delay=0.02, fail=0) as world:
        world.environment = {**world.environment, "PYTHONPATH": root}
        del world.environment["WORKER_RATE"]
        yield world


def polling(world: Payments, part: int, records: int) -> tuple[list[str], dict[str, str]]:
    scope = [f"--scope=part={part}", f"--scope=most={records * 4}"]
    return ["poll-part", *scope, "--run-key", f"run-{next(_RUNS)}"], world.environment


async def begun(opened: AsyncExitStack, world: Payments, records: tuple[int, ...]) -> list[Worker]:
    """Start a task for each, and wait until all have a portion of the limit."""
    tasks = []
    for part, many in enumerate(records):
        arguments, environment = polling(world, part, many)
        tasks.append(await opened.enter_async_context(worker(*arguments, **environment)))
    await asyncio.gather(*(task.started() for task in tasks))
    return tasks


async def shared(world: Payments, records: tuple[int, ...]) -> tuple[float, int]:
    """Let four tasks work off so many records each; give the share of the limit that they used, and the most in a second."""
    arrivals, loop = world.simulator.arrivals, asyncio.get_running_loop()
    async with AsyncExitStack() as opened:
        tasks = await begun(opened, world, records)
        since = loop.time()
        ends = [asyncio.create_task(task.ended(300)) for task in tasks]
        await asyncio.gather(*ends[:2])
        halfway = loop.time()
        first, _ = await asyncio.wait(ends[2:], return_when=asyncio.FIRST_COMPLETED)
        assert first
        codes = await asyncio.gather(*ends)
    until = max(arrivals.recent) - 1.5  # the last second of two tasks is not even
    assert until > halfway, "two of them went on alone"
    assert codes == [0] * 4
    assert arrivals.total == sum(records)
    assert tasks[3].end["portions"] == {"stripe": RATE} or tasks[2].end["portions"] == {"stripe": RATE}
    sent = [at for at in arrivals.recent if since <= at < until]
    return len(sent) / (until - since) / RATE, arrivals.most_in_a_second


async def test_shared_rate_is_kept_and_used_by_four_tasks(world: Payments) -> None:
    """Two of them end early: the others have the whole limit from then on, and it is never exceeded."""
    used, most = await shared(world, (120, 120, 520, 520))
    print(f"used {used:.1%}, at most {most} in a second")
    assert most <= RATE
    assert used >= 0.9, "the starts and ends are a large part of a few seconds; the soak asks for 95 %"


@pytest.mark.soak
async def test_soak_shared_rate(world: Payments) -> None:
    """The same for a minute: 95 % of it, and never one call too many."""
    used, most = await shared(world, (1_500, 1_500, 4_500, 4_500))
    print(f"used {used:.1%}, at most {most} in a second")
    assert most <= RATE
    assert used >= 0.95
