"""Lines 6 and 7: peak memory over small and large tables, and the time to the first record."""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.contender import worker
from bench.line import Line, alone, compared, in_turn
from bench.world import ROOT, World


async def memory(world: World, small: int, large: int, rounds: int) -> list[Line]:
    """Work on a small and on a ten times larger table, and look at the peaks."""
    await world.records(large)

    async def at_small() -> float:
        return (await worker(world, "noop", f"rows={small}")).rss / 1e6

    async def at_large() -> float:
        return (await worker(world, "noop", f"rows={large}")).rss / 1e6

    little, much = await in_turn((at_small, at_large), rounds)
    growth = [after - before for before, after in zip(little, much, strict=True)]
    return [
        alone("6", f"peak memory at {large:,} rows", much, unit="MB", at_most=50),
        alone("6", f"its growth from {small:,} rows", growth, unit="MB", at_most=2),
    ]


async def start_up(world: World, rounds: int) -> list[Line]:
    """Start a job that only uses PostgreSQL, until its first record; against importing asyncpg."""
    await world.records(1)

    async def first_record() -> float:
        with tempfile.TemporaryDirectory() as folder:
            note = Path(folder, "first")
            began = time.monotonic()
            await worker(world, "first", "rows=1", FIRST_RECORD=str(note))
            return (float(note.read_text()) - began) * 1e3

    async def asyncpg() -> float:
        began = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "import asyncpg"),
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
        )
        await process.wait()
        return (time.monotonic() - began) * 1e3

    ours, bare = await in_turn((first_record, asyncpg), rounds)
    return [compared("7", "start to first record", ours, 'python -c "import asyncpg"', bare, unit="ms", at_most=3)]
