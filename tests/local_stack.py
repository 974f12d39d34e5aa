"""What tests of the local stack start as a process of its own: `python tests/local_stack.py postgres | serve …`."""

import asyncio
import sys
from pathlib import Path

from worker.local.postgres import Postgres
from worker.local.provider_process import ProviderOptions
from worker.local.seed import seed
from worker.local.serve import serve

SEED = Path(__file__).parent.parent / "jobs" / "poll_payments.sql"


async def hold_postgres() -> None:
    """Start a server, say where it is, and wait to be killed."""
    async with Postgres() as server:
        sys.stdout.write(f"{server.pid} {server.folder}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


async def fill(environment: dict[str, str]) -> None:
    """Seed as the front door does."""
    if url := environment.get("DATABASE_URL"):
        await seed(url, SEED.read_text(), records=5_000)


async def refuse(environment: dict[str, str]) -> None:
    """Fail as a seed with a mistake does."""
    await seed(environment["DATABASE_URL"], "SELECT mistake", records=1)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["postgres"]:
            asyncio.run(hold_postgres())
        case ["serve", names, prepare, *child]:
            wanted = names.split(",")
            work = {"fill": fill, "refuse": refuse}[prepare]
            sys.exit(asyncio.run(serve(wanted, ProviderOptions(), prepare=work, child=bool(child))))
