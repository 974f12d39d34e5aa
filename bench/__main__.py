"""Measure the worker side by side with what else could be written: `python -m bench [--quick] [--json] [--only NUMBER …]`.

Exits 1 where a line falls short of its target.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from bench.admin import admin
from bench.footprint import memory, start_up
from bench.line import Line
from bench.prices import prices
from bench.rates import rates
from bench.run_store import commit_price, run_store
from bench.shards import shards
from bench.sources import sources
from bench.table import table
from bench.throughput import Size, noop, payments, waiting, writing
from bench.world import World

FULL = Size(rounds=5, close=15, noop=1_000_000, seconds=2, writes=300_000, payments=30_000)
QUICK = Size(rounds=1, close=1, noop=400_000, seconds=0.5, writes=80_000, payments=8_000)

Part = Callable[[World, bool], Awaitable[list[Line]]]


async def _prices(world: World, quick: bool) -> list[Line]:
    found = await asyncio.to_thread(prices, 60_000 if quick else 500_000, 3 if quick else 7)
    return [*found, await commit_price(world)]


PARTS: dict[str, Part] = {
    "1": lambda world, quick: noop(world, QUICK if quick else FULL),
    "2": lambda world, quick: waiting(world, QUICK if quick else FULL),
    "3": lambda world, quick: writing(world, QUICK if quick else FULL),
    "4": lambda world, quick: payments(world, QUICK if quick else FULL),
    "5": lambda world, quick: rates(1.0 if quick else 6.0),
    "6": lambda world, quick: memory(world, *((20_000, 200_000, 1) if quick else (500_000, 5_000_000, 1))),
    "7": lambda world, quick: start_up(world, 3 if quick else 15),
    "8": _prices,
    "sources": lambda world, quick: sources(*((4_000, 1) if quick else (20_000, 7))),
    "shards": lambda world, quick: shards(world, *((3_000, 1) if quick else (10_000, 5))),
    "admin": lambda world, quick: admin(world, *((5_000, 30, 12_000, 1) if quick else (100_000, 400, 60_000, 5))),
    "store": lambda world, quick: run_store(world, *((5_000, 3) if quick else (100_000, 15))),
}


async def measured(only: list[str], quick: bool) -> list[Line]:
    """Measure the parts that were asked for, one after the other."""
    lines: list[Line] = []
    async with World() as world:
        for number in only:
            sys.stderr.write(f"measuring {number} …\n")
            lines += await PARTS[number](world, quick)
    return lines


def main() -> int:
    """Print the table; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the same lines, smaller: under a minute, with more noise")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="NUMBER")
    options = parser.parse_args()
    lines = asyncio.run(measured(options.only, options.quick))
    if options.json:
        print(json.dumps([asdict(line) | {"met": line.met} for line in lines], indent=2))
    else:
        print(table(lines))
    short = [line for line in lines if not line.met]
    if short:
        sys.stderr.write(f"{len(short)} of {len(lines)} lines fall short; what was tried: docs/performance.md\n")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
