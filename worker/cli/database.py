"""`migrate`, and the way to the run store for all that read it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from worker.database import Link, is_refused, said, where
from worker.environment import settings
from worker.errors import Faults, Transient
from worker.store.migrate import migrate, migrations, version
from worker.store.reading import RunReader


def required_url() -> str:
    """Give DATABASE_URL. Raises Faults where it is not set."""
    url = settings().database_url
    if url is None:
        raise Faults(
            ["DATABASE_URL is not set: postgresql://user@host:5432/name (or use --local, or python -m worker local)"]
        )
    return url


def migrate_store() -> int:
    """Bring the schema up to date."""
    url = required_url()
    applied = asyncio.run(migrated(url))
    sys.stdout.write(f"{where(url)}: {', '.join(applied) or 'nothing to do'}\n")
    return 0


async def migrated(url: str) -> list[str]:
    """Apply the migrations that are missing. Raises Faults where the database refuses or cannot be reached."""
    async with Link(url, "migrate") as link:
        try:
            return await migrate(link)
        except Transient as error:
            raise Faults([str(error)]) from error
        except Exception as error:
            if is_refused(error):
                raise Faults([f"database {where(url)} refuses the run store's schema: {said(error)}"]) from error
            raise


@asynccontextmanager
async def reading() -> AsyncIterator[RunReader]:
    """Lend what answers questions about runs. Raises Faults where there is no run store, or none that can be reached."""
    async with Link(required_url(), "runs") as link:
        try:
            if await version(link) < migrations()[-1].version:
                raise Faults(["the run store's schema is not there, or not up to date: run python -m worker migrate"])
            yield RunReader(link)
        except Transient as error:
            raise Faults([str(error)]) from error
        except Exception as error:
            if is_refused(error):
                raise Faults([f"database {where(link.url)} refuses the run store: {said(error)}"]) from error
            raise
