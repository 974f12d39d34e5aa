"""Fill local servers with what a job can work on: `jobs/local/<job_name>.sql`, or `.py` for what is not PostgreSQL alone."""

import inspect
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from worker.errors import Faults, WorkerError
from worker.local.aws import Aws
from worker.local.stack import PROVIDED
from worker.origin import place


class Seed:
    """One job's seed. `needs` names the servers that it fills: PostgreSQL for SQL, for Python the parameters of its function.

    That is `async def seed(postgres, aws, provider, webhooks, records: int) -> dict[str, str]`, with those of the four that it
    needs; what it gives are environment variables for the job. Raises Faults where it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
        try:
            self._sql = path.read_text(encoding="utf-8") if path.suffix == ".sql" else None
            self._function = None if path.suffix == ".sql" else _function(path)
        except Exception as error:  # whatever a seed does when it is loaded, it is its author who must hear of it
            raise Faults([f"{self.name}: {error}"]) from error
        self.needs = _needs(self.name, self._function) if self._function else ("postgres",)

    async def sow(self, servers: Mapping[str, Any], records: int) -> dict[str, str]:
        """Fill the servers, PostgreSQL in one transaction; give the variables for the job. Raises Faults where it fails."""
        try:
            if self._sql is not None:
                await seed(servers["postgres"].url, self._sql, records)
                return {}
            return await self._call(servers, records)
        except Faults as faults:
            raise Faults([f"{self.name}: {fault}" for fault in faults.faults]) from faults

    async def _call(self, servers: Mapping[str, Any], records: int) -> dict[str, str]:
        assert self._function is not None, "it is not SQL"
        try:
            async with AsyncExitStack() as opened:
                lent = {name: await opened.enter_async_context(_lent(name, servers[name])) for name in self.needs}
                return dict(await self._function(**lent, records=records) or {})
        except WorkerError:
            raise
        except Exception as error:  # as above
            raise Faults([f"{type(error).__name__}: {error} ({place(error)})"]) from error


def find(folder: Path | None, job: str) -> Seed | None:
    """Find the seed of a job beside its file; None where it has none. Raises Faults where there are two."""
    stem = job.replace("-", "_")
    found = [path for suffix in ("sql", "py") if folder and (path := folder / "local" / f"{stem}.{suffix}").exists()]
    if len(found) > 1:
        raise Faults([f"{job} has two seeds, {' and '.join(path.name for path in found)}: say all of it in one"])
    return Seed(found[0]) if found else None


async def seed(database_url: str, sql: str, records: int) -> None:
    """Run SQL in one transaction; it reads its size from `current_setting('seed.records')`.

    Raises Faults where the SQL fails. Only for a database that is ours to fill: one that --local started.
    """
    import asyncpg

    try:
        async with _transaction(database_url) as connection:
            await connection.execute("SELECT set_config('seed.records', $1, true)", str(records))
            await connection.execute(sql)
    except asyncpg.PostgresError as error:
        raise Faults([f"the seed failed for {records:,} records: {error}"]) from error


@asynccontextmanager
async def _transaction(database_url: str) -> AsyncIterator[Any]:
    import asyncpg

    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _lent(name: str, server: Any) -> AsyncIterator[Any]:
    """Give what a seed works with: a connection in a transaction, a client of AWS, or the server itself."""
    if name == "postgres":
        async with _transaction(server.url) as connection:
            yield connection
    elif name == "aws":
        async with Aws(server.url) as aws:
            yield aws
    else:
        yield server


def _function(path: Path) -> Any:
    return import_module(f"{path.parent.parent.name}.{path.parent.name}.{path.stem}").seed


def _needs(name: str, function: Any) -> tuple[str, ...]:
    parameters = list(inspect.signature(function).parameters)
    needs = tuple(parameter for parameter in parameters if parameter != "records")
    if unknown := sorted(set(needs) - set(PROVIDED)):
        known = ", ".join(PROVIDED)
        raise Faults([f"{name}: seed() asks for {each!r}; what can be started is {known}" for each in unknown])
    if "records" not in parameters or not inspect.iscoroutinefunction(function):
        raise Faults([f"{name}: it must define async def seed(…, records: int) -> dict[str, str]"])
    return needs
