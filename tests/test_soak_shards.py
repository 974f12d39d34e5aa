"""The full numbers of runs in shards: 8 of them over 100,000 payments, killed and started again (make soak)."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from sharded import COUNT_WRITES, posted, settled, shown, until
from slack_server import Reply, Slack, slack
from worker_process import Worker, finished, worker

from worker.cli.database import migrated
from worker.database import Link
from worker.local.provider_process import ProviderOptions, ProviderProcess
from worker.local.seed import seed
from worker.mask import Mask
from worker.report.slack import SlackReporter
from worker.report.slack_post import by_webhook
from worker.shard_reports import bury
from worker.store.postgres import PostgresStore

pytestmark = pytest.mark.soak

SQL = Path(__file__).parent.parent / "jobs" / "local" / "poll_payments.sql"
RECORDS, SHARDS, RATE = 100_000, 8, 1_200


async def test_soak_shards(database_url: str) -> None:
    """One is killed and started again; so is the last one, whose death is reported: each status once, one summary, one limit."""
    await migrated(database_url)
    await seed(database_url, SQL.read_text(), RECORDS)
    before = await prepared(database_url)
    with slack(Reply()) as told:
        async with ProviderProcess(ProviderOptions(rate=0, delay=0.02, fail=0)) as provider:
            environment = {
                "DATABASE_URL": database_url,
                "STRIPE_API_BASE": provider.url,
                "STRIPE_API_KEY": provider.api_key,
                "WORKER_RATE": str(RATE),
                "WORKER_CONCURRENCY": "256",
                "LEASE": "3",
                "SLACK_WEBHOOK_URL": told.url,
            }
            async with AsyncExitStack() as opened:
                shards = {
                    number: await opened.enter_async_context(worker(*shard(number), **environment))
                    for number in range(1, SHARDS + 1)
                }
                await until(lambda: provider.counts()["requests"] > RECORDS // 5, within_s=300)
                await shards[3].kill()
                shards[3] = await opened.enter_async_context(worker(*shard(3), **environment))
                last = await all_but_one(shards)
                await shards[last].kill()
                assert posted(told) == []
            await reported(database_url, last, told)
            [text] = posted(told)
            assert f"shard {last}/{SHARDS}: killed" in text
            code, _ = await finished(*shard(last), **environment)
            counts = await asyncio.to_thread(provider.counts)
    assert code in (0, 1)  # the fate of some payments is to fail
    assert len(posted(told)) == 2
    [run] = await shown(environment)
    print(f"at most {counts['most_in_a_second']:,} calls in any second, {counts['requests']:,} in all; {run['tally']}")
    assert (run["status"], run["shards"], run["tally"]["read"]) == ("succeeded", SHARDS, RECORDS)
    assert counts["most_in_a_second"] <= 1.01 * RATE
    await settled(database_url, before)


def shard(number: int) -> tuple[str, ...]:
    """Give a shard's arguments."""
    return ("poll-payments", "--run-key", "night", "--shard", f"{number}/{SHARDS}")


async def prepared(url: str) -> dict[str, str]:
    """Have the payments' writes counted; give their statuses."""
    connection = await asyncpg.connect(url)
    try:
        for statement in COUNT_WRITES:
            await connection.execute(statement)
        rows = await connection.fetch("SELECT provider_ref, status FROM payments")
        return {row["provider_ref"]: row["status"] for row in rows}
    finally:
        await connection.close()


async def all_but_one(shards: dict[int, Worker]) -> int:
    """Wait until one shard alone is left; give its number."""
    ends = {asyncio.create_task(shard.ended(600)): number for number, shard in shards.items()}
    left = set(ends)
    while len(left) > 1:
        ended, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        assert all(task.result() in (0, 1) for task in ended)
    [last] = left
    return ends[last]


async def reported(url: str, number: int, told: Slack) -> None:
    """Do as the stopped-task reporter does."""
    async with Link(url, "reporter") as link:
        await bury(PostgresStore(link), "poll-payments:night", number, SlackReporter(by_webhook(told.url), Mask()), 5)
