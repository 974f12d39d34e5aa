"""What a rival prints of itself: one line of JSON."""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable

import uvloop

from worker import process

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def parser(description: str | None) -> argparse.ArgumentParser:
    """Take what every rival is told: the database and the loop."""
    known = argparse.ArgumentParser(description=description)
    known.add_argument("--url", help="of the database", required=True)
    known.add_argument("--rows", type=int, required=True)
    known.add_argument("--loop", choices=LOOPS, default="uvloop")
    return known


def tell(loop: str, work: Callable[[], Awaitable[tuple[int, float]]]) -> None:
    """Do the work, which gives its records and when it began; print rate, CPU seconds and peak memory."""

    async def measured() -> None:
        records, began = await work()
        seconds = time.perf_counter() - began
        told = {"records": records, "seconds": seconds, "cpu_s": process.cpu_seconds(), "rss": process.peak_memory()}
        print(json.dumps(told))

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(measured())
