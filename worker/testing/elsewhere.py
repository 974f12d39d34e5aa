"""What of a data set is not in PostgreSQL: made anew for every run by who tests, and read by them afterwards."""

import asyncio
import os
import secrets
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import msgspec

from worker.runs import LetterView, RunView
from worker.tally import Tally
from worker.testing.state import State


@dataclass(frozen=True, slots=True)
class World:
    """What a run works on, and the environment that leads the worker there; the run store is added to it."""

    environment: Mapping[str, str]
    rows: Callable[[], Awaitable[Mapping[str, Iterable[str]]]]
    """Gives all that the run may have changed, as texts, by the name of where it is."""


Fresh = Callable[[], AbstractAsyncContextManager[World]]
"""Makes a world that no run has touched; all of them are alike."""


@asynccontextmanager
async def nowhere() -> AsyncIterator[World]:
    """Give the world of a job that has PostgreSQL alone."""

    async def nothing() -> Mapping[str, Iterable[str]]:
        return {}

    yield World({}, nothing)


async def with_run_table(world: World) -> dict[str, str]:
    """Make a run store of its own in DynamoDB; give the environment for a run."""
    environment = {**world.environment, "RUN_TABLE": f"runs-{secrets.token_hex(8)}"}
    await _printed(environment, "migrate")
    return environment


async def rows_of(world: World) -> dict[str, Counter[str]]:
    """Read the world."""
    return {name: Counter(rows) for name, rows in (await world.rows()).items()}


async def left_in(world: World, environment: Mapping[str, str], run_id: str) -> State:
    """Read what a run left behind: in the world, and in the run store."""
    text, *letters = (await _printed(environment, "runs", "show", run_id, "--json")).splitlines()
    run = msgspec.json.decode(text, type=RunView)
    rows = await rows_of(world)
    failed = [msgspec.json.decode(letter, type=LetterView) for letter in letters]
    rows["dead letters"] = Counter(f"{letter.key} {letter.type}" for letter in failed)
    attempts, before = [], Tally()
    for attempt in run.attempts:
        own = Tally.from_json(attempt.tally)
        attempts.append((attempt.verdict, before, own))
        before = before.plus(own)
    return State(rows, run.status, Tally.from_json(run.tally), attempts)


async def _printed(environment: Mapping[str, str], *arguments: str) -> str:
    """Give what a command of the worker prints. Raises AssertionError where it fails."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", *arguments),
        env={"PATH": os.environ["PATH"], **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    written, errors = await process.communicate()
    if process.returncode:
        raise AssertionError(f"python -m worker {' '.join(arguments)}: {(written + errors).decode()}")
    return written.decode()
