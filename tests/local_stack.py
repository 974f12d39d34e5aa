"""What tests of the local stack start as a process of its own (`python -m tests.local_stack …`), and how they see it end."""

import asyncio
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.errors import Faults
from worker.local.child import Local
from worker.local.postgres import Postgres
from worker.local.provider_process import ProviderOptions
from worker.local.seed import seed
from worker.local.serve import serve
from worker.local.stack import Stack

SYSTEM = sorted(Path("/usr/lib/postgresql").glob("1[5-9]/bin"))
"""The programs of each PostgreSQL that the system has, of those that the worker supports."""

SEED = Path(__file__).parent.parent / "jobs" / "local" / "poll_payments.sql"


def command(*arguments: str) -> list[str]:
    """Give the command that runs this file."""
    return [sys.executable, "-m", "tests.local_stack", *arguments]


@contextmanager
def ends(*pids: int) -> Iterator[None]:
    """Hold that these processes, which are not our children, end by what is done (a zombie has ended, reaped or not)."""
    handles = [os.pidfd_open(pid) for pid in pids]
    yield
    for handle in handles:
        assert select.select([handle], [], [], 10)[0], f"one of {pids} still runs"
        os.close(handle)


async def hold_postgres() -> None:
    """Start a server, say where it is, and wait to be killed."""
    async with Postgres() as server:
        say(f"{server.pid} {server.folder}")
        await asyncio.Event().wait()


def hold_child() -> None:
    """Start the stack in a child, as a worker does, and wait to be killed."""
    with Local([], command("serve", "postgres,provider", "fill")):
        say("ready")
        sys.stdin.read()


async def fill(stack: Stack) -> None:
    """Seed as the front door does."""
    if url := stack.environment.get("DATABASE_URL"):
        await seed(url, SEED.read_text(), records=5_000)


async def refuse(stack: Stack) -> None:
    """Fail as a seed with a mistake does."""
    raise Faults(["the seed has a mistake", "and another one"])


async def hang(stack: Stack) -> None:
    """Take forever, as a very large seed does."""
    say("hanging")
    await asyncio.Event().wait()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["postgres"]:
            asyncio.run(hold_postgres())
        case ["child"]:
            hold_child()
        case ["serve", names, prepare, *child]:
            work = {"fill": fill, "refuse": refuse, "hang": hang}[prepare]
            sys.exit(asyncio.run(serve(names.split(","), ProviderOptions(), prepare=work, child=bool(child))))
