"""The full numbers of runs in shards: 8 of them over 100,000 payments, killed and started again (make soak)."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from sharded import COUNT_WRITES, posted, settled, shown, until
from slack_server import Reply, Slack, slack
from test_soak_payments import most_in_a_second
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

ROOT = Path(__file__).parent.parent
TIMED = f'''
"""The main job, noting when it sends, as every process on this machine counts the time."""
import os, time
from importlib.util import module_from_spec, spec_from_file_location

spec = spec_from_file_location("original", {str(ROOT / "jobs" / "poll_payments.py")!r})
original = module_from_spec(spec)
spec.loader.exec_module(original)

class Timed(original.PollPayments):
    async def open(self, run):
        await super().open(run)
        self.sends = os.open("sends", os.O_APPEND | os.O_CREAT | os.O_WRONLY)

    async def process(self, payment, run):
        os.write(self.sends, b"%.6f\\n" % time.monotonic())
        return await super().process(payment, run)
'''

SQL = Path(__file__).parent.parent / "jobs" / "local" / "poll_payments.sql"
RECORDS, SHARDS, RATE = 100_000, 8, 800


async def test_soak_shards(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is killed and started again; so is the last one, whose death is reported: each status once, one summary, one limit."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").write_text("")
    (tmp_path / "jobs" / "timed.py").write_text(TIMED)
    await migrated(database_url)
    await seed(database_url, SQL.read_text(), RECORDS)
    before = await prepared(database_url)
    with slack(Reply()) as told:
        async with ProviderProcess(ProviderOptions(rate=0, delay=0.02, fail=0)) as provider:
            monkeypatch.chdir(tmp_path)
            environment = {
                "DATABASE_URL": database_url,
                "STRIPE_API_BASE": provider.url,
                "STRIPE_API_KEY": provider.api_key,
                "WORKER_RATE": str(RATE),
                "WORKER_CONCURRENCY": "256",
                "LEASE": "3",
                "PYTHONPATH": str(ROOT),
                "SLACK_WEBHOOK_URL": told.url,
            }
            async with AsyncExitStack() as opened:
                shards = {
                    number: await opened.enter_async_context(worker(*shard(number), **environment))
                    for number in range(1, SHARDS + 1)
                }
                await until(lambda: provider.counts()["requests"] > RECORDS // 5, within_s=120)
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
    sends = most_in_a_second(sorted(map(float, (tmp_path / "sends").read_text().split())))
    print(f"at most {sends:,} sends in any second;", end=" ")
    print(f"at most {counts['most_in_a_second']:,} arrivals, {counts['requests']:,} in all; {run['tally']}")
    assert (run["status"], run["shards"], run["tally"]["read"]) == ("succeeded", SHARDS, RECORDS)
    assert sends <= RATE
    assert counts["most_in_a_second"] <= 1.02 * RATE  # arrivals bunch a little where the provider waits for its core
    await settled(database_url, before)


def shard(number: int) -> tuple[str, ...]:
    """Give a shard's arguments."""
    return ("timed", "--run-key", "night", "--shard", f"{number}/{SHARDS}")


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
        await bury(PostgresStore(link), "timed:night", number, SlackReporter(by_webhook(told.url), Mask()), 5)
