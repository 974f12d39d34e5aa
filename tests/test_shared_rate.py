"""Four tasks that share a limit of 200/s: real processes, a real run store, and what the provider counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import pytest
from payments import Payments, payments
from test_soak_payments import most_in_a_second
from worker_process import Worker, finished, worker

RATE = 200
ARRIVALS = 1.05 * RATE
"""Calls that were sent apart bunch where the provider, which is this process, waits for its core; on quiet ones it counts RATE at most."""
JOB = '''"""Ask the provider about a part of the payments."""

import os
import time

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
        self.sends = os.open("sends", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def process(self, payment, run):
        os.write(self.sends, f"{time.monotonic()} {run.scope.part}\\n".encode())
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
    (jobs / "poll_other.py").write_text(JOB.replace("Rate(200,", "Rate(12_000, per=60,"))
    root = str(Path(__file__).parent.parent)
    async with payments(database_url, 30_000, rate=0, delay=0.02, fail=0) as world:
        world.environment = {**world.environment, "PYTHONPATH": root}
        del world.environment["WORKER_RATE"]
        yield world


def polling(world: Payments, part: int, records: int) -> tuple[list[str], dict[str, str]]:
    scope = [f"--scope=part={part}", f"--scope=most={records * 4}"]
    return ["poll-part", *scope, "--run-key", f"run-{next(_RUNS)}"], world.environment


def sends(*parts: int) -> list[float]:
    """Tell when calls were sent, by the tasks' own clock, which is one for the whole machine; all of them, or those for some parts."""
    sent = (line.split() for line in Path("sends").read_text().splitlines())
    return sorted(float(at) for at, part in sent if not parts or int(part) in parts)


def sent_in_a_second() -> int:
    """Count the calls of all tasks in the busiest second."""
    return most_in_a_second(sends())


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
        codes = await asyncio.gather(*(task.ended(300) for task in tasks))
    until = max(arrivals.recent) - 1.5  # the last second of two tasks is not even
    assert until > max(sends(0, 1)), "two of them went on alone"
    assert set(codes) <= {0, 1}, "the fate of some payments is to fail"
    assert arrivals.total == sum(records)
    assert max(task.end["portions"]["stripe"] for task in tasks[2:]) >= RATE // 2, "what the first two had is theirs"
    sent = [at for at in arrivals.recent if since <= at < until]
    return len(sent) / (until - since) / RATE, arrivals.most_in_a_second


async def test_shared_rate_is_kept_and_used_by_four_tasks(world: Payments) -> None:
    """Two of them end early: the others have the whole limit from then on, and it is never exceeded."""
    used, most = await shared(world, (120, 120, 520, 520))
    print(f"used {used:.1%}, at most {most} in a second")
    assert sent_in_a_second() <= RATE
    assert most <= ARRIVALS
    assert used >= 0.7, "had the two kept their quarters it would be 61 %; of a quiet minute the soak asks for 95 %"


async def test_shared_rate_is_not_divided_among_shards(world: Payments) -> None:
    """Each asks for its portion as every task does: together they keep the limit, and use it."""
    arrivals, (arguments, environment) = world.simulator.arrivals, polling(world, 0, 900)
    async with worker(*arguments, "--shards", "3", **environment) as running:
        assert await running.ended() in (0, 1)
    assert arrivals.total == 900
    span = max(arrivals.recent) - min(arrivals.recent)
    assert sent_in_a_second() <= RATE
    assert arrivals.most_in_a_second <= ARRIVALS
    assert 900 / span >= 0.75 * RATE, "the first second, in which they part it, is a fifth of it"


async def test_shared_rate_of_a_killed_task_comes_back(world: Payments) -> None:
    """Not before its lease is over: it may be at work somewhere. Then the run goes on, and no call is too many."""
    arguments, environment = polling(world, 0, 300)
    environment = {**environment, "LEASE": "1"}
    async with worker(*arguments, **environment) as killed:
        await killed.started()
        await world.calls.until(100)
        await killed.kill()
    async with worker(*arguments, **environment) as running:
        assert await running.ended() in (0, 1)
    assert any("waiting for a portion of limit stripe" in line["event"] for line in running.lines)
    assert running.end["run_tally"]["read"] == 300
    assert sent_in_a_second() <= RATE
    assert world.simulator.arrivals.most_in_a_second <= ARRIVALS


async def test_shared_rate_in_other_windows_does_not_start(world: Payments) -> None:
    """What is declared otherwise while others are at work is a fault, and nothing is touched."""
    arguments, environment = polling(world, 0, 400)
    async with worker(*arguments, **environment) as running:
        await running.started()
        await world.calls.until(50)
        code, refused = await finished("poll-other", "--scope=part=1", "--scope=most=40", **environment)
        assert await running.ended() in (0, 1)
    assert code == 2
    assert "limit stripe: 12000 in 60 s cannot be shared with tasks at work" in refused.faults[0]
    assert world.simulator.arrivals.total == 400


async def test_shared_rate_waits_for_a_store_that_is_away(world: Payments) -> None:
    """As everything does at the start: exit 75 once CONNECT_TIMEOUT is over, and no call before."""
    arguments, environment = polling(world, 0, 10)
    away = {**environment, "DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none", "CONNECT_TIMEOUT": "0.3"}
    code, interrupted = await finished(*arguments, **away)
    assert (code, interrupted.end["verdict"]) == (75, "interrupted")
    assert world.simulator.arrivals.total == 0


@pytest.mark.soak
async def test_soak_shared_rate(world: Payments) -> None:
    """The same for a minute: 95 % of it, and never one call too many."""
    used, most = await shared(world, (1_500, 1_500, 4_500, 4_500))
    print(f"used {used:.1%}, at most {sent_in_a_second()} sends and {most} arrivals in a second")
    assert sent_in_a_second() <= RATE
    assert most <= ARRIVALS
    assert used >= 0.95
