"""What tests of runs in shards share: payments that count how often they were written, a shard's process, the runs as shown."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import asyncpg
import psutil
from payments import expected
from slack_server import Slack
from worker_process import Worker, worker

COUNT_WRITES = (
    "ALTER TABLE payments ADD writes integer NOT NULL DEFAULT 0",
    "CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.writes := OLD.writes + 1; RETURN NEW; END'",
    "CREATE TRIGGER count_write BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION count_write()",
)


async def until(true: Callable[[], Any], within_s: float = 30) -> None:
    """Wait for a condition that other processes bring about."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110 - no event of ours tells
            await asyncio.sleep(0.02)


async def begun(url: str, shards: int) -> None:
    """Wait until so many shards have begun."""
    connection = await asyncpg.connect(url)
    try:
        asked = "SELECT count(*) FROM worker.runs WHERE parent IS NOT NULL AND attempt > 0"
        async with asyncio.timeout(30):
            while await connection.fetchval(asked) < shards:  # noqa: ASYNC110 - other processes bring it about
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


def shard_of(running: Worker, number: int) -> psutil.Process | None:
    """Find the process of a shard."""
    children = psutil.Process(running.pid).children()
    return next((child for child in children if f"--shard={number}/" in " ".join(child.cmdline())), None)


async def settled(url: str, before: dict[str, str]) -> None:
    """Look that each answer was written, and once."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT provider_ref, status, writes FROM payments")
    finally:
        await connection.close()
    after = expected(before)
    assert {row["provider_ref"]: row["status"] for row in rows} == after
    assert {row["provider_ref"] for row in rows if row["writes"] == 1} == {
        ref for ref, status in after.items() if status != before[ref]
    }
    assert {row["writes"] for row in rows} <= {0, 1}


async def shown(environment: dict[str, str], *arguments: str) -> list[dict[str, Any]]:
    """Ask for runs as JSON lines."""
    async with worker("runs", *arguments, "--json", **environment) as running:
        return [json.loads(line) for line in (await running.output()).splitlines()]


def posted(told: Slack) -> list[str]:
    """Give the texts of all messages."""
    return [body["text"] for _, _, body in told.posted]
