"""The local stack: only what is missing is started, a worker or a shell is pointed at it, and nothing of it stays."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

import asyncpg
import psutil
import pytest
from local_stack import command, ends
from shell import forget

from worker.errors import Faults
from worker.local.child import Local
from worker.local.provider_process import ProviderOptions
from worker.local.stack import PROVIDED, Stack, missing

BOTH = "postgres,provider"
REPORT = r"provider: {} requests, at most {} in any second \(limit 100\), 0 refused, 0 violations"


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run one of the local stack's test processes."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command(*arguments), stdin=pipe, stdout=pipe, stderr=pipe, text=True) as started:
        yield started
        started.kill()


def below(pid: int | None = None) -> set[int]:
    """Give the processes below one (below this one: the session's PostgreSQL, and what a test has started)."""
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def ask_provider(address: str, key: str) -> int:
    """Make one call and give its status."""
    call = Request(f"{address}/v1/payment_intents/pi_1", headers={"Authorization": f"Bearer {key}"})
    with urlopen(call) as answer:
        return int(answer.status)


@pytest.mark.parametrize(
    ("needs", "environ", "started"),
    [
        (["postgres", "provider"], {}, ["postgres", "provider"]),
        (["postgres", "provider"], {"DATABASE_URL": "postgresql://elsewhere/"}, ["provider"]),
        (["postgres", "provider"], {"STRIPE_API_BASE": "https://elsewhere"}, ["postgres"]),
        (["postgres", "aws"], {"DATABASE_URL": "", "AWS_ENDPOINT_URL": "https://elsewhere"}, ["postgres"]),
        ([], {}, []),
    ],
)
def test_stack_starts_only_what_is_missing(needs: list[str], environ: dict[str, str], started: list[str]) -> None:
    """What is needed is started, unless the environment names one already."""
    assert missing(needs, environ) == started


def test_stack_refuses_what_it_cannot_start() -> None:
    """A name that nothing stands in for is a fault that lists what there is."""
    with pytest.raises(Faults, match=r"no local server 'redis'; there are postgres, aws"):
        Stack(["redis"], ProviderOptions())


async def test_stack_counts_what_the_provider_was_asked() -> None:
    """The environment reaches the provider with its key, and the report counts the calls."""
    async with Stack(["provider"], ProviderOptions(delay=0, fail=0)) as stack:
        assert set(stack.environment) == {"STRIPE_API_BASE", "STRIPE_API_KEY"}
        address, key = stack.environment["STRIPE_API_BASE"], stack.environment["STRIPE_API_KEY"]
        assert await asyncio.to_thread(ask_provider, address, key) == 200
        assert re.fullmatch(REPORT.format(1, 1), str(await stack.report()))


async def test_stack_leaves_nothing_behind_when_a_part_does_not_start() -> None:
    """What had started is taken away when another part failed, whose words are in the fault."""
    before = below()
    with pytest.raises(Faults, match=r"provider simulator did not start.*--rate"):
        async with Stack(PROVIDED, ProviderOptions(rate="many")):  # type: ignore[arg-type]
            pytest.fail("it started")
    assert below() == before


async def test_child_serves_a_seeded_database_and_leaves_nothing() -> None:
    """A worker gets the variables and what was started in words, then the report; the processes are gone by then."""
    before = below()
    with Local([], command("serve", BOTH, "fill")) as local:
        connection = await asyncpg.connect(local.environment["DATABASE_URL"])
        assert await connection.fetchval("SELECT count(*) FROM payments") == 5_250
        await connection.close()
        assert re.fullmatch(r"PostgreSQL 18\.\d+ at 127\.0\.0\.1:\d+", local.started[0])
        assert local.started[1] == f"provider simulator at {local.environment['STRIPE_API_BASE']}"
        started = below() - before
        assert len(started) >= 4
    assert re.fullmatch(REPORT.format(0, 0), str(local.report))
    assert not [pid for pid in started if psutil.pid_exists(pid)]


def test_child_goes_when_its_worker_is_killed() -> None:
    """SIGKILL of the worker takes the whole stack away."""
    with process("child") as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        with ends(*below(worker.pid)):
            worker.kill()


def test_child_takes_its_servers_along_when_it_is_killed() -> None:
    """SIGKILL of the child takes its servers away, and the worker can say so."""
    before = below()
    with Local([], command("serve", "provider", "fill")) as local:
        [child] = {child.pid for child in psutil.Process().children()} - before
        with ends(*below(child)):
            os.kill(child, signal.SIGKILL)
    assert str(local.report).startswith("the local servers ended early (exit code -9)")


def test_child_hands_its_faults_to_the_worker() -> None:
    """What keeps the stack from starting is raised in the worker, in the child's words, and nothing stays."""
    before = below()
    with (
        pytest.raises(Faults, match=r"^the seed has a mistake\nand another one$"),
        Local([], command("serve", "provider", "refuse")),
    ):
        pytest.fail("it started")
    assert below() == before


def test_child_is_quoted_when_it_dies_early() -> None:
    """The last words of a child that died before it was ready are in the fault."""
    dying = (sys.executable, "-c", "raise SystemExit('no room left')")
    with pytest.raises(Faults, match=r"ended early \(exit code 1\): no room left"), Local([], dying):
        pytest.fail("it started")


def test_serve_points_a_shell_at_the_stack() -> None:
    """A shell can evaluate what is printed; Ctrl-C ends it all with exit code 0, after the report."""
    with process("serve", BOTH, "fill") as served:
        assert served.stdout is not None
        lines = [served.stdout.readline() for _ in range(3)]
        shown = subprocess.run(
            ["/bin/sh", "-c", "".join(lines) + "echo $DATABASE_URL $STRIPE_API_BASE $STRIPE_API_KEY"],
            capture_output=True,
            text=True,
        )
        assert re.fullmatch(r"postgresql://\S+ http://127\.0\.0\.1:\d+ sk_test_\S+\n", shown.stdout)
        with ends(*below(served.pid)):
            served.send_signal(signal.SIGINT)
            _, words = served.communicate(timeout=10)
    assert served.returncode == 0
    assert "Ctrl-C" in words
    assert re.search(REPORT.format(0, 0), words)


def test_serve_can_be_stopped_while_it_prepares() -> None:
    """A long seed does not keep a signal waiting."""
    with process("serve", "provider", "hang") as served:
        assert served.stdout is not None
        assert served.stdout.readline() == "hanging\n"
        with ends(*below(served.pid)):
            served.terminate()
        assert served.wait(timeout=10) == 0


def test_local_stack_of_the_shell_is_not_the_tests() -> None:
    """Run in a shell with the exports of `python -m worker local`, tests start servers of their own; Slack hears of none of them."""
    environ = {"PATH": "/bin", "DATABASE_URL": "x", "STRIPE_API_BASE": "x", "JOB_DATE": "x", "SLACK_WEBHOOK_URL": "x"}
    forget(environ)
    assert environ == {"PATH": "/bin"}
