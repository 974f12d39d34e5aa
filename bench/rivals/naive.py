"""The worker that one would write today: semaphore, a task a record, aiolimiter, `asyncio.timeout`, a gather a page."""

import asyncio
import time
from functools import partial

import asyncpg
from aiolimiter import AsyncLimiter

from bench.rivals.told import parser, tell

PAGE = """
    SELECT id, ref, status, amount, updated_at FROM records WHERE id > $1 AND id <= $2 ORDER BY id LIMIT 1000"""


async def work(url: str, rows: int, in_flight: int, delay_s: float, slow_in: int) -> tuple[int, float]:
    """Work on every row; give how many there were and when it began."""
    semaphore, limiter = asyncio.Semaphore(in_flight), AsyncLimiter(2_000_000, 1)
    finished = 0

    async def process(row: asyncpg.Record) -> None:
        if delay_s:
            await asyncio.sleep(0.5 if slow_in and row["id"] % slow_in == 0 else delay_s)

    async def one(row: asyncpg.Record) -> None:
        nonlocal finished
        async with semaphore, limiter, asyncio.timeout(30):
            await process(row)
        finished += 1

    connection = await asyncpg.connect(url)
    began, after = time.perf_counter(), 0
    while page := await connection.fetch(PAGE, after, rows):
        await asyncio.gather(*(one(row) for row in page))
        after = page[-1]["id"]
    await connection.close()
    return finished, began


if __name__ == "__main__":
    known = parser(__doc__)
    known.add_argument("--in-flight", type=int, default=64)
    known.add_argument("--delay", type=float, default=0.0)
    known.add_argument("--slow-in", type=int, default=0)
    options = known.parse_args()
    tell(
        options.loop,
        partial(work, options.url, options.rows, options.in_flight, options.delay, options.slow_in),
    )
