"""`--shard I/N` and `--shards N` from outside: real processes, one run, one message, one exit code."""

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from payments import Payments, payments
from screen import Terminal
from sharded import COUNT_WRITES, begun, posted, settled, shard_of, shown, until
from simulated import SEED
from slack_server import Reply, slack
from worker_process import adds_up, finished, worker

from worker.local.fate import fate

ROOT = Path(__file__).parent.parent
RECORDS = 150
ARGUMENTS = ("poll-payments", "--run-key", "night")


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[Payments]:
    """Give payments, each with a count of its writes, and a provider that fails none of them."""
    async with payments(database_url, RECORDS + 60, fail=0) as world:
        for statement in COUNT_WRITES:
            await world.sql(statement)
        fates = {ref: fate(SEED, ref).status for ref in await world.statuses()}
        broken = [ref for ref, status in fates.items() if status is None]
        await world.sql("DELETE FROM payments WHERE provider_ref = ANY ($1)", broken)
        await world.sql(
            "DELETE FROM payments WHERE id NOT IN (SELECT id FROM payments WHERE status = 'processing' ORDER BY id LIMIT $1)",
            RECORDS,
        )
        world.environment |= {"LEASE": "1", "WORKER_PAGE_SIZE": "50"}
        yield world


async def test_shards_of_one_task_are_one_run(world: Payments) -> None:
    """Each payment is asked for once and written once; one line says how all went, one message, one run in the list."""
    before = await world.statuses()
    with slack(Reply()) as told:
        environment = world.environment | {"SLACK_WEBHOOK_URL": told.url}
        code, done = await finished(*ARGUMENTS, "--shards", "3", **environment)
    assert code == 0, done.lines
    await settled(world.url, before)
    assert set(world.calls.by_ref.values()) == {1}
    [end] = [line for line in done.lines if "verdict" in line]
    assert adds_up(end["tally"])
    assert (end["tally"]["read"], end["verdict"]) == (RECORDS, "succeeded")
    assert [(each["shard"], each["verdict"]) for each in end["shards"]] == [
        (f"{number}/3", "succeeded") for number in (1, 2, 3)
    ]
    assert {each["tally"]["read"] for each in end["shards"]} <= {RECORDS // 3, RECORDS // 3 + 1}
    [text] = posted(told)
    assert f"{RECORDS} read" in text
    [run] = await shown(world.environment)
    assert (run["run_id"], run["status"], run["shards"], run["tally"]["read"]) == (
        "poll-payments:night",
        "succeeded",
        3,
        RECORDS,
    )
    [one, *_] = await shown(world.environment, "show", "poll-payments:night")
    assert [part["status"] for part in one["parts"]] == ["succeeded"] * 3
    assert (await finished(*ARGUMENTS, "--shards", "3", **world.environment))[1].end["verdict"] == "already done"
    code, refused = await finished(*ARGUMENTS, "--shards", "2", **world.environment)
    assert (code, "is a run in 3 shards" in refused.faults[0]) == (2, True)


async def test_shards_of_one_task_have_one_display(world: Payments, tmp_path: Path) -> None:
    """On a terminal: one line says how far all are, of all records, with the limits of all; then one summary."""
    world.simulator.behaviour.delay = 0.2
    script = tmp_path / "shards.py"
    arguments = ["worker", *ARGUMENTS, "--shards", "2"]
    script.write_text(f"import runpy, sys\nsys.argv = {arguments}\nrunpy.run_module('worker', run_name='__main__')\n")
    environment = world.environment | {"WORKER_CONCURRENCY": "16"}
    with Terminal(script, 100, **environment) as terminal:
        lines = await asyncio.to_thread(terminal.step)
        assert terminal.exit_code() == 0
    assert [line for line in lines if "verdict" in line or line.startswith("{")] == []
    assert len([line for line in lines if line.startswith("poll-payments started")]) == 1, lines
    assert "shard 1–2" in terminal.written
    assert "16 at once" in terminal.written
    assert f"of {RECORDS} records" in terminal.written
    assert len([line for line in lines if "poll-payments succeeded" in line]) == 1, lines


async def test_shards_of_aws_batch_are_counted_from_one(world: Payments) -> None:
    """The line in docs/scale.md, as its job definition would say it."""
    [line] = re.findall(r"`(sh -c 'exec python .*?')`", (ROOT / "docs" / "scale.md").read_text(encoding="utf-8"))
    given = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "AWS_BATCH_JOB_ARRAY_INDEX": "7"}
    process = await asyncio.create_subprocess_exec(
        *shlex.split(line),
        env=world.environment | given | {"RUN_KEY": "night"},
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    output, _ = await process.communicate()
    end = next(line for line in map(json.loads, output.splitlines()) if "verdict" in line)
    assert (process.returncode, end["shard"], end["tally"]["read"]) == (0, "8/8", 19)


async def test_shards_by_hand_share_the_rate_and_the_last_one_reports(world: Payments) -> None:
    """Three tasks, the last of them much later: what one says is in its log, what all say in Slack; the limit is one for all."""
    before = await world.statuses()
    with slack(Reply()) as told:
        environment = world.environment | {"SLACK_WEBHOOK_URL": told.url, "WORKER_RATE": "240"}
        two = await asyncio.gather(*(finished(*ARGUMENTS, **environment, SHARD=f"{number}/3") for number in (3, 1)))
        assert [code for code, _ in two] == [0, 0]
        assert posted(told) == []
        most = world.simulator.arrivals.most_in_a_second
        code, last = await finished(*ARGUMENTS, "--shard", "2/3", **environment)
    assert code == 0
    assert most <= 1.1 * 160
    assert len(posted(told)) == 1
    assert next(line for line in last.lines if "run_verdict" in line)["run_tally"]["read"] == RECORDS
    await settled(world.url, before)


async def test_shards_all_stop_when_their_task_is_stopped(world: Payments) -> None:
    """SIGTERM is passed on: all drain, one exit 75, one message; --resume goes on with as many."""
    before = await world.statuses()
    world.simulator.behaviour.delay = 0.3
    with slack(Reply()) as told:
        environment = world.environment | {"SLACK_WEBHOOK_URL": told.url, "WORKER_CONCURRENCY": "12"}
        async with worker(*ARGUMENTS, "--shards", "3", **environment) as running:
            await begun(world.url, 3)
            await until(lambda: world.calls.by_ref.total() > 30)
            running.signal(signal.SIGTERM)
            assert await running.ended() == 75
        assert (running.end["verdict"], running.end["detail"]) == ("interrupted", "all 3 shards: SIGTERM")
        assert running.end["next_command"] == "python -m worker poll-payments --run-key night --shards 3"
        world.simulator.behaviour.delay = 0.0
        code, again = await finished("poll-payments", "--resume", **environment)
    assert (code, again.end["verdict"]) == (0, "succeeded")
    assert again.end["run_tally"]["read"] == RECORDS
    await settled(world.url, before)
    assert len(posted(told)) == 2


async def test_shard_that_is_killed_is_interrupted_and_goes_on(world: Payments) -> None:
    """The others go on to their ends; the killed one is told of in the one message; started again by hand, it ends the run."""
    before = await world.statuses()
    world.simulator.behaviour.delay = 0.2
    with slack(Reply()) as told:
        environment = world.environment | {"SLACK_WEBHOOK_URL": told.url, "WORKER_CONCURRENCY": "24"}
        async with worker(*ARGUMENTS, "--shards", "3", **environment) as running:
            await begun(world.url, 3)
            await until(lambda: world.calls.by_ref.total() > 30)
            killed = shard_of(running, 2)
            assert killed is not None
            killed.kill()
            world.simulator.behaviour.delay = 0.0
            assert await running.ended() == 75
        assert running.end["detail"] == "shard 2/3: killed"
        code, _ = await finished(*ARGUMENTS, "--shard", "2/3", **environment)
    assert code == 0
    await settled(world.url, before)
    first, second = posted(told)
    assert "was interrupted" in first
    assert "succeeded" in second
    assert max(Counter(world.calls.by_ref).values()) <= 2


async def test_shards_stop_when_the_process_that_started_them_is_killed(world: Payments) -> None:
    """Nobody could stop them any more: they are interrupted, and none is left over."""
    world.simulator.behaviour.delay = 0.2
    environment = world.environment | {"WORKER_CONCURRENCY": "8"}
    async with worker(*ARGUMENTS, "--shards", "2", **environment) as running:
        await begun(world.url, 2)
        await until(lambda: world.calls.by_ref.total() > 20)
        shards = psutil.Process(running.pid).children()
        os.kill(running.pid, signal.SIGKILL)
        await until(lambda: not any(shard.is_running() for shard in shards))
    [run] = await shown(world.environment)
    assert (run["status"], run["detail"]) == (
        "interrupted",
        "all 2 shards: the process that started it has ended",
    )


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--shard", "1/3"), "a part of a run that has a name: give all its shards the same --run-key"),
        (("--shard", "4/3", "--run-key", "k"), "shard '4/3' is not I/N"),
        (("--shard", "1/3", "--run-key", "k", "--max-records", "5"), "max-records does not go with shards"),
        (("--shard", "1/3", "--run-key", "k", "--dry-run"), "--dry-run goes with --shards"),
        (("--shards", "3", "--shard", "1/3"), "it goes neither with --shard nor"),
        (("--shards", "65"), "65 shards cannot share a concurrency of 64: make at most 64 of them"),
    ],
)
async def test_shards_that_cannot_be_are_refused(
    arguments: tuple[str, ...], fault: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is started; in words."""
    environment = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "STRIPE_API_KEY": "k", "WORKER_RATE": "0"}
    code, refused = await finished("poll-payments", *arguments, **environment)
    assert code == 2
    assert fault in refused.faults[0]


async def test_shards_of_a_dry_run_write_nothing(world: Payments) -> None:
    """They share the key that was made up for it."""
    before = await world.statuses()
    code, done = await finished("poll-payments", "--dry-run", "--shards", "2", **world.environment)
    assert (code, done.end["verdict"], done.end["tally"]["read"]) == (0, "succeeded", RECORDS)
    assert await world.statuses() == before
    assert len(done.end["samples"]) == 5
