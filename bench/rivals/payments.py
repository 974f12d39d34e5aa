"""The payment poller that one would write today: aiohttp, a semaphore, an UPDATE a row."""

import asyncio
import time
from functools import partial

import aiohttp
import asyncpg
from aiolimiter import AsyncLimiter

from bench.rivals.told import parser, tell

PAGE = """
    SELECT id, provider_ref, status, updated_at FROM payments WHERE status = 'processing' AND id > $1 ORDER BY id LIMIT 500"""
UPDATE = "UPDATE payments SET status = $2, updated_at = now(), checked_at = now() WHERE id = $1 AND status = $3"
IN_FLIGHT = 64


async def work(url: str, rows: int, api: str, key: str) -> tuple[int, float]:
    """Ask about every payment; give how many there were and when it began."""
    semaphore, limiter = asyncio.Semaphore(IN_FLIGHT), AsyncLimiter(2_000_000, 1)
    finished = 0

    async def one(payment: asyncpg.Record) -> None:
        nonlocal finished
        async with semaphore, limiter, asyncio.timeout(12):
            async with session.get(f"/v1/payment_intents/{payment['provider_ref']}") as answer:
                intent = await answer.json()
            if answer.status == 200 and intent["status"] != payment["status"]:
                await pool.execute(UPDATE, payment["id"], intent["status"], payment["status"])
        finished += 1

    headers = {"Authorization": f"Bearer {key}"}
    async with (
        asyncpg.create_pool(url, min_size=10, max_size=10) as pool,
        aiohttp.ClientSession(api, headers=headers) as session,
    ):
        began, after = time.perf_counter(), 0
        while page := await pool.fetch(PAGE, after):
            await asyncio.gather(*(one(payment) for payment in page))
            after = page[-1]["id"]
    return finished, began


if __name__ == "__main__":
    known = parser(__doc__)
    known.add_argument("--api", required=True)
    known.add_argument("--key", required=True)
    options = known.parse_args()
    tell(options.loop, partial(work, options.url, options.rows, options.api, options.key))
