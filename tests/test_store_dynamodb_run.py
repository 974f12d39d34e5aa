"""A job without PostgreSQL, as its users run it: killed, succeeded, fenced off, replayed, shown, all by its DynamoDB table."""

import asyncio
import json
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aws import Aws
from worker_process import Worker, finished, worker

from worker.store.table import Table
from worker.store.table_making import migrate
from worker.testing.elsewhere import World as Elsewhere
from worker.testing.report import Report

ROOT = Path(__file__).parent.parent
RUN = "stamp-objects:night"
OBJECTS = [f"in/{number:03d}" for number in range(40)]

JOB = '''
"""Write a stamp for each object."""
import asyncio
from worker import Bucket, Job, Limits, Permanent, Scope, done, s3

class StampObjects(Job[Scope]):
    limits = Limits(concurrency=4, page_size=10)
    idempotent = True
    environment = {"BUCKET": None, "HELD": "none", "BROKEN": "none"}

    def source(self, run):
        return s3.objects(run, run.environment["BUCKET"], "in/")

    async def open(self, run):
        self.bucket = await run.enter(Bucket(run, run.environment["BUCKET"]))

    async def process(self, record, run):
        if record["key"] in run.environment["BROKEN"]:
            raise Permanent("no stamp", "Broken")
        if record["key"] >= run.environment["HELD"]:
            await asyncio.Event().wait()
        return done("stamped")

    async def write(self, results, connection):
        assert connection is None
        for result in results:
            await self.bucket.put("out/" + result.record["key"], result.value.encode())
'''


class World:
    """Forty objects, a job in a folder of its own, and the table of its runs."""

    def __init__(self, aws: Aws, table: str) -> None:
        self.aws, self.bucket = aws, aws.bucket()
        for key in OBJECTS:
            aws.s3.put_object(Bucket=self.bucket, Key=key, Body=b"x")
        place = {"PYTHONPATH": str(ROOT), "RUN_TABLE": table, "BUCKET": self.bucket, "LEASE": "1", "RUN_KEY": "night"}
        self.environment = aws.environment | place

    def stamped(self) -> list[str]:
        """List the objects that have their stamp."""
        return [key.removeprefix("out/") for key in self.aws.keys(self.bucket, "out/")]

    async def finished(self, *arguments: str, **environment: str) -> tuple[int, Worker]:
        """Run the worker to its end."""
        return await finished(*arguments, **self.environment | environment)

    async def printed(self, *arguments: str) -> str:
        """Give what a command prints."""
        async with worker(*arguments, **self.environment) as running:
            return await running.output()


@pytest.fixture
async def world(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Give the world, and be in its folder."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "jobs" / "stamp_objects.py").write_text(JOB)
    monkeypatch.chdir(tmp_path)
    async with Table(f"runs-{secrets.token_hex(4)}", "test") as table:
        await migrate(table)
        yield World(aws, table.name)


async def until_committed(running: Worker) -> None:
    """Read on until a page with results is in the run store."""
    await running.line(lambda line: "committed" in line["event"] and line.get("cursor") is not None)


async def test_run_without_postgresql_is_killed_and_gone_on_with(world: World) -> None:
    """The second start watches the dead holder, takes over, goes on behind what was committed; `runs show` tells of both."""
    async with worker("stamp-objects", **world.environment, HELD="in/020", LOG_LEVEL="debug") as first:
        await until_committed(first)
        first.signal(signal.SIGKILL)
    before = len(world.stamped())
    assert 0 < before <= 20
    code, second = await world.finished("stamp-objects")
    assert (code, second.end["verdict"], second.end["attempt"]) == (0, "succeeded", 2)
    assert second.end["run_tally"]["done"] == 40
    assert second.end["tally"]["done"] < 40
    assert world.stamped() == OBJECTS
    shown = json.loads((await world.printed("runs", "show", RUN, "--json")).splitlines()[0])
    assert [(one["verdict"], one["detail"]) for one in shown["attempts"]] == [
        ("interrupted", "killed"),
        ("succeeded", ""),
    ]
    assert sum(one["tally"]["done"] for one in shown["attempts"]) == 40


async def test_run_without_postgresql_that_froze_is_fenced_off(world: World) -> None:
    """A holder that was silent for its lease is succeeded; back again it finds that, and exits 3."""
    async with worker("stamp-objects", **world.environment, HELD="in/020", LOG_LEVEL="debug") as first:
        await until_committed(first)
        first.signal(signal.SIGSTOP)
        code, second = await world.finished("stamp-objects")
        assert (code, second.end["run_tally"]["done"]) == (0, 40)
        first.signal(signal.SIGCONT)
        assert await first.ended() == 3
    assert first.end["verdict"] == "lost its lease"
    assert "stamp-objects:night" in await world.printed("runs", "stamp-objects")


async def test_run_without_postgresql_is_replayed(world: World) -> None:
    """Failures are dead letters in the table, and worked on alone; a dry run is recorded, and changes nothing else."""
    code, dry = await world.finished("stamp-objects", "--dry-run", "--run-key", "dry")
    assert (code, dry.end["verdict"], world.stamped()) == (0, "succeeded", [])
    code, first = await world.finished("stamp-objects", BROKEN="in/003 in/030")
    assert (code, first.end["verdict"]) == (1, "completed with failures")
    text = await world.printed("runs", "show", RUN)
    assert [line.split()[0] for line in text.splitlines() if "Broken" in line] == ["in/003", "in/030"]
    code, again = await world.finished("replay", RUN)
    assert (code, again.end["verdict"], again.end["tally"]["read"]) == (0, "succeeded", 2)
    assert world.stamped() == OBJECTS
    assert (await world.finished("stamp-objects"))[1].end["verdict"] == "already done"


async def test_run_without_any_store_is_refused(world: World) -> None:
    """Where neither is named both are; where the table is not there, the command that makes it is."""
    code, none = await world.finished("stamp-objects", RUN_TABLE="")
    assert code == 2
    assert "DATABASE_URL is not set" in none.faults[0]
    assert "RUN_TABLE" in none.faults[0]
    code, missing = await world.finished("stamp-objects", RUN_TABLE="elsewhere")
    assert (
        code,
        "table 'elsewhere' (RUN_TABLE) is not there, or not whole: run python -m worker migrate" in missing.faults[0],
    ) == (
        2,
        True,
    )


@pytest.mark.soak
async def test_run_without_postgresql_survives_anywhere(
    world: World, kill_anywhere: Callable[..., Awaitable[Report]]
) -> None:
    """Killed, stopped, started twice and frozen at random instants, each run in a bucket of its own, it ends the same."""

    @asynccontextmanager
    async def fresh() -> AsyncIterator[Elsewhere]:
        own = World(world.aws, "")

        async def rows() -> dict[str, list[str]]:
            return {"bucket": await asyncio.to_thread(own.stamped)}

        yield Elsewhere(own.environment, rows)

    report = await kill_anywhere(
        "stamp-objects", world=fresh, environment={"WORKER_RATE": "20"}, seed=5, kills=10, stops=5, pairs=6, freezes=4
    )
    assert report.records == 40
