"""Ask the admin API over a store of many runs: how long an answer takes, and what 200 requests a second cost a run beside it."""

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

from pyreqwest.client import Client, ClientBuilder

from bench.contender import worker
from bench.line import Line, alone, compared, in_turn
from bench.run_store import Store
from bench.world import ROOT, World
from worker.admin import tokens

TOKEN = tokens.make("bench", ["read"])
PATHS = (
    "/admin/runs",
    "/admin/runs?status=succeeded&limit=200",
    "/admin/runs?status=interrupted",
    "/admin/runs/job:7",
    "/admin/runs/job:7/dead-letters",
)
POLLED = ("/admin/jobs", "/admin/runs", "/admin/runs/job:7")
AT_MOST_MS = 50
EVERY_S = 1 / 200


async def admin(world: World, runs: int, asked: int, rows: int, rounds: int) -> list[Line]:
    """Fill the store, ask each question so many times, then have runs go by themselves and while the server is polled."""
    store = Store(world.url)
    await store.fill(runs)
    await world.records(rows)
    try:
        async with _served(world) as client:
            lines = [line for path in PATHS for line in await _answers(client, path, runs, asked)]
            return lines + await _beside(world, client, rows, rounds)
    finally:
        async with store.link.using() as connection:
            await connection.execute("DELETE FROM worker.runs WHERE job = 'job'", timeout=300)
        await store.link.close()


async def _answers(client: Client, path: str, runs: int, asked: int) -> list[Line]:
    await _get(client, path)  # connects, plans, reads into memory
    figures = []
    for _ in range(asked):
        figures.append(await _get(client, path))
        await asyncio.sleep(EVERY_S)  # more is not let in for long
    slowest = statistics.quantiles(figures, n=100, method="inclusive")[98]
    what = f"GET {path}, {runs:,} runs"
    return [
        alone("admin", f"{what}: median", [statistics.median(figures)], unit="ms", at_most=AT_MOST_MS),
        alone("admin", f"{what}: p99 of {asked}", [slowest], unit="ms", at_most=AT_MOST_MS),
    ]


async def _beside(world: World, client: Client, rows: int, rounds: int) -> list[Line]:
    answers: list[float] = []

    async def by_itself() -> float:
        return (await worker(world, "wait", f"rows={rows}")).rate

    async def polled() -> float:
        over, began = asyncio.Event(), time.perf_counter()
        polling = asyncio.create_task(_poll(client, over))
        rate = await by_itself()
        over.set()
        answers.append(await polling / (time.perf_counter() - began))
        return rate

    beside, alone_there = await in_turn((polled, by_itself), rounds)
    what = f"a run (5 ms a record) while {1 / EVERY_S:g} requests a second come in"
    return [
        compared("admin", what, beside, "the same by itself", alone_there, at_least=0.95),
        alone("admin", "answers a second meanwhile", answers, unit="/s", at_least=0.95 / EVERY_S),
    ]


async def _poll(client: Client, over: asyncio.Event) -> int:
    """Send a request every so often, whether or not the last one is answered, until it is over; give the number of answers."""
    started, sent = time.perf_counter(), 0
    asking: set[asyncio.Task[float]] = set()
    for path in cycle(POLLED):
        if over.is_set():
            break
        asking.add(asyncio.create_task(_get(client, path)))
        sent += 1
        await asyncio.sleep(max(0.0, started + sent * EVERY_S - time.perf_counter()))
    await asyncio.gather(*asking)
    return sent


async def _get(client: Client, path: str) -> float:
    """Give the milliseconds until the whole answer is here."""
    began = time.perf_counter()
    response = await client.get(path).build().send()
    await response.bytes()
    if response.status != 200:
        raise SystemExit(f"{path} was answered {response.status}")
    return (time.perf_counter() - began) * 1e3


@asynccontextmanager
async def _served(world: World) -> AsyncIterator[Client]:
    """Run `python -m worker serve`, and give a client that holds a token."""
    known = {"PYTHONPATH": str(ROOT), "LOG_FORMAT": "json", "ADMIN_TOKEN_HASHES": TOKEN.entry}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "serve", "--port", "0"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **known, **world.environment},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        said = json.loads(await process.stdout.readline())
        address, headers = f"http://{said['host']}:{said['port']}", {"Authorization": f"Bearer {TOKEN.token}"}
        async with ClientBuilder().base_url(address).default_headers(headers).build() as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
