"""Stopping: a signal at any moment drains, commits, reports, and exits 75 in time."""

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from datagrams import agent
from payments import expected, payments
from slack_server import Reply, slack
from worker_process import adds_up, finished, worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stop_commits_what_is_finished_and_the_next_attempt_goes_on(
    database_url: str, number: signal.Signals, tmp_path: Path
) -> None:
    """Exit 75 with counts that add up, one Slack message, metrics flushed; the next attempt does the rest, once."""
    async with payments(database_url, 400, delay=0.02) as world:
        before = await world.statuses()
        environment = world.environment | {"RUN_KEY": "night", "WORKER_CONCURRENCY": "4"}
        with slack(Reply()) as channel, agent("udp", tmp_path) as datadog:
            reported = {"SLACK_WEBHOOK_URL": f"{channel.url}/hook", "DD_DOGSTATSD_URL": datadog.url}
            async with worker("poll-payments", **environment, **reported) as running:
                await running.started()
                await world.calls.until(60)
                running.signal(number)
                assert await running.ended(within_s=30) == 75
            heard = datadog.heard()
        first = running.end["tally"]
        assert adds_up(first)
        assert first["unfinished"] > 0
        assert running.end["detail"] == number.name
        assert len(channel.posted) == 1
        assert any(metric.name == "worker.run.ended" for metric in heard)
        code, last = await finished("poll-payments", **environment)
        assert (code, await world.statuses()) == (0, expected(before))
    assert last.end["attempt"] == 2
    second = last.end["tally"]
    assert first["done"] + second["done"] == last.end["run_tally"]["done"]
    assert set(world.calls.by_ref.values()) == {1}, "nobody was asked for twice"


async def test_stop_right_after_the_first_log_line_exits_in_time(database_url: str) -> None:
    """A signal at the first line ends the attempt with 75, or with its own code if it had just completed."""
    async with (
        payments(database_url, 400, delay=0.05) as world,
        worker("poll-payments", **world.environment) as running,
    ):
        await running.line(lambda line: True)
        running.signal(signal.SIGTERM)
        assert await running.ended(within_s=30) == 75
    assert adds_up(running.end["tally"])


async def test_stop_after_the_end_changes_nothing(database_url: str) -> None:
    """Signals that come while a worker that has succeeded leaves, up to its last instruction, do not change its exit code."""
    async with payments(database_url, 20) as world, worker("poll-payments", **world.environment) as running:
        await running.line(lambda line: "verdict" in line)
        ended = asyncio.create_task(running.ended())
        while not ended.done():
            with suppress(ProcessLookupError):
                running.signal(signal.SIGTERM)
            await asyncio.sleep(0)
        assert await ended == 0


async def test_stop_before_anything_ran_is_remembered(database_url: str) -> None:
    """A signal that comes while the worker still waits for its database ends it with 75 too."""
    environment = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "STRIPE_API_KEY": "sk_test_1",
        "STRIPE_API_BASE": "http://127.0.0.1:1",
    }
    async with worker("poll-payments", **environment) as running:
        await running.line(lambda line: "waiting" in line["event"])
        running.signal(signal.SIGTERM)
        assert await running.ended(within_s=30) == 75


async def test_stop_gives_up_what_does_not_finish_in_time(database_url: str) -> None:
    """Records that outlast the drain are unfinished, not failed; the stop timeout holds."""
    async with (
        payments(database_url, 10) as world,
        worker("poll-payments", **world.never_answering(), STOP_TIMEOUT="3") as running,
    ):
        await world.calls.until(10)
        running.signal(signal.SIGTERM)
        assert await running.ended(within_s=3) == 75
    assert running.end["tally"]["unfinished"] == 10
    assert running.end["tally"]["failed"] == 0


async def test_stop_at_once_when_asked_twice(database_url: str) -> None:
    """A second signal does not wait for what is in flight."""
    async with (
        payments(database_url, 10) as world,
        worker("poll-payments", **world.never_answering(), STOP_TIMEOUT="300") as running,
    ):
        await world.calls.until(10)
        running.signal(signal.SIGTERM)
        running.signal(signal.SIGINT)
        assert await running.ended(within_s=10) == 75
    assert adds_up(running.end["tally"])
