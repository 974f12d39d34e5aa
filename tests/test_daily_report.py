"""jobs/daily_report.py: each region's day as a table and a chart in S3, the same however often it is made."""

import datetime
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from xml.etree import ElementTree

import asyncpg
import pytest
from aws import Aws
from worker_process import Worker, finished

from jobs.local.daily_report import INDEX, TABLE
from worker.cli.database import migrated
from worker.local.postgres import Postgres
from worker.testing import elsewhere
from worker.testing.report import Report

DAY = datetime.date(2026, 11, 22)
SALES = """INSERT INTO purchases (id, region, amount_cents, sold_at) VALUES
    (1, 'eu', 1050, '2026-11-22T00:00Z'), (2, 'eu', 250, '2026-11-22T00:59:59Z'), (3, 'eu', 500, '2026-11-22T23:59:59Z'),
    (4, 'us & more', 99, '2026-11-22T12:00Z'),
    (5, 'eu', 7777, '2026-11-21T23:59:59Z'), (6, 'asia', 7777, '2026-11-23T00:00Z')"""
EU, US = f"sales/{DAY}/eu", f"sales/{DAY}/us & more"
FILES = sorted(f"{place}.{form}" for place in (EU, US) for form in ("csv", "svg"))


@dataclass
class World:
    """Sales and a bucket for their reports."""

    aws: Aws
    bucket: str
    environment: dict[str, str]

    async def report(self, *arguments: str, **environment: str) -> tuple[int, Worker]:
        """Run the job."""
        return await finished("daily-report", *arguments, **self.environment, **environment)

    def files(self) -> dict[str, bytes]:
        """Give all reports."""
        return {key: self.aws.body(self.bucket, key) for key in self.aws.keys(self.bucket)}


async def made(url: str, aws: Aws) -> World:
    """Make them."""
    await migrated(url)
    connection = await asyncpg.connect(url)
    for statement in (TABLE, INDEX, SALES):
        await connection.execute(statement)
    await connection.close()
    bucket = aws.bucket()
    return World(aws, bucket, aws.environment | {"DATABASE_URL": url, "REPORTS_BUCKET": bucket})


@pytest.fixture
async def world(database_url: str, aws: Aws) -> World:
    """Give them."""
    return await made(database_url, aws)


async def test_daily_report_makes_a_table_and_a_chart_for_each_region(world: World) -> None:
    """Of the day before the run was due, by UTC's hours; linked in the summary, with types that a browser shows."""
    code, run = await world.report(RUN_KEY="2026-11-23T01:30Z")
    assert (code, run.end["tally"]["done"]) == (0, 2)
    files = world.files()
    assert sorted(files) == FILES
    hours = files[f"{EU}.csv"].decode().splitlines()
    assert hours[:3] == ["hour,sales,revenue", "0,2,13.00", "1,0,0.00"]
    assert (hours[24], len(hours)) == ("23,1,5.00", 25)
    for place in (EU, US):
        chart = "".join(ElementTree.fromstring(files[f"{place}.svg"]).itertext())
        assert f"{place.rpartition('/')[2]}, {DAY} (UTC)" in chart
        assert "<script" not in files[f"{place}.svg"].decode()
    assert sorted(run.end["links"]) == FILES
    assert run.end["links"][f"{US}.svg"] == f"{world.aws.url}/{world.bucket}/sales/{DAY}/us%20%26%20more.svg"
    assert world.aws.s3.head_object(Bucket=world.bucket, Key=f"{EU}.svg")["ContentType"] == "image/svg+xml"
    assert world.aws.s3.head_object(Bucket=world.bucket, Key=f"{EU}.csv")["ContentType"] == "text/csv"


async def test_daily_report_made_again_is_the_same(world: World) -> None:
    """A dry run puts nothing, another run of the day finds all as it is, and what was lost meanwhile is put again."""
    code, dry = await world.report("--dry-run", JOB_DATE=str(DAY), WORKER_CONCURRENCY="1")
    assert (code, dry.end["tally"]["done"], world.files()) == (0, 2, {})
    assert re.fullmatch(rf"eu: {{'{EU}.csv': \d+ bytes, '{EU}.svg': [\d,]+ bytes}}", min(dry.end["samples"]))
    assert "links" not in dry.end
    await world.report(JOB_DATE=str(DAY), JOB_REGION="eu")
    first = world.files()
    assert sorted(first) == [f"{EU}.csv", f"{EU}.svg"]
    world.aws.s3.put_object(Bucket=world.bucket, Key=f"{EU}.csv", Body=first[f"{EU}.csv"][::-1])
    code, again = await world.report("--scope", f"date={DAY}")
    assert (code, again.end["tally"]["done"]) == (0, 2)
    code, last = await world.report("--scope", f"date={DAY}")
    assert (code, last.end["tally"]["skipped"]) == (0, {"unchanged": 2})
    assert {key: world.files()[key] for key in first} == first


@pytest.mark.soak
async def test_daily_report_survives(
    postgres_server: Postgres, aws: Aws, kill_anywhere: Callable[..., Awaitable[Report]]
) -> None:
    """Killed or stopped anywhere, the run ends with the same files, however often they were put."""

    @asynccontextmanager
    async def fresh() -> AsyncIterator[elsewhere.World]:
        url = await postgres_server.database()
        world = await made(url, aws)

        async def files() -> dict[str, list[str]]:
            return {"bucket": [f"{key} {hash(body)}" for key, body in world.files().items()]}

        yield elsewhere.World(world.environment | {"JOB_DATE": str(DAY)}, files)
        await postgres_server.drop(url)

    report = await kill_anywhere("daily-report", world=fresh, seed=3, kills=8, stops=2)
    assert report.records == 2
    assert report.disturbed.total() == 10
