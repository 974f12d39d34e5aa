"""The long proof of lines: one object of 500 MB, packed, read in flat memory, killed in the middle and resumed."""

import asyncio
import gzip
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aws import Aws
from worker_process import finished, worker

from worker import Bucket, Run, Scope
from worker.cli.database import migrated

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parent.parent
SIZE, MEMORY = 500_000_000, 120 * 1024 * 1024

JOB = '''
"""Note every line of a large object, and tell how far it is."""
from worker import VALUE, Job, Limits, Scope, columns, done, s3

class Noting(Job[Scope]):
    limits = Limits(concurrency=32, page_size=2_000)
    environment = {"BUCKET": None}

    def source(self, run):
        return s3.lines(run, run.environment["BUCKET"], "large.jsonl.gz")

    async def process(self, line, run):
        return done((line.number, len(line["noise"])))

    async def write(self, results, connection):
        numbers = [number for number, _ in columns(results, VALUE)[0]]
        await connection.execute("INSERT INTO noted SELECT unnest($1::bigint[])", numbers)
        await connection.execute("SELECT pg_notify('noted', $1)", str(max(numbers)))
'''


def member(lines: int) -> bytes:
    """Pack lines of a kilobyte, to half of it."""
    return gzip.compress(
        b"".join(json.dumps({"noise": os.urandom(500).hex()}).encode() + b"\n" for _ in range(lines)), 1
    )


async def large(aws: Aws, bucket: str) -> int:
    """Make the object out of many gzip members; give how many lines it has."""
    packed = member(10_000)
    times = SIZE // len(packed) + 1

    async def members() -> AsyncIterator[bytes]:
        for _ in range(times):
            yield packed

    async with Bucket(Run("job", "key", Scope()), bucket) as client:
        assert await client.upload("large.jsonl.gz", members()) > SIZE
    return times * 10_000


async def test_soak_large_object_resumes_in_flat_memory(
    database_url: str, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when half is written, the next attempt notes the rest: each line once, in less than 120 MB."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "jobs" / "noting.py").write_text(JOB)
    bucket = aws.bucket()
    count = await large(aws, bucket)
    await migrated(database_url)
    watching = await asyncpg.connect(database_url)
    await watching.execute("CREATE TABLE noted (number bigint PRIMARY KEY)")
    monkeypatch.chdir(tmp_path)
    environment = {
        **aws.environment,
        "DATABASE_URL": database_url,
        "BUCKET": bucket,
        "LEASE": "2",
        "PYTHONPATH": str(ROOT),
    }
    half = asyncio.Event()
    await watching.add_listener("noted", lambda *told: half.set() if int(told[-1]) > count // 2 else None)
    async with worker("noting", "--run-key", "night", **environment) as first:
        await first.started()
        async with asyncio.timeout(600):
            await half.wait()
        first.signal(signal.SIGKILL)
        await first.exit_code()
    before = await watching.fetchval("SELECT count(*) FROM noted")
    code, second = await finished("noting", "--run-key", "night", **environment)
    after, last = await watching.fetchrow("SELECT count(*), max(number) FROM noted")  # type: ignore[misc]
    await watching.close()
    assert code == 0, second.lines
    assert count // 2 < before < count
    assert (after, last) == (count, count)
    assert second.end["tally"]["read"] == count - before
    assert second.end["peak_memory"] < MEMORY
    print(
        f"{count:,} lines; {second.end['duration_s']:.0f} s for the rest; {second.end['peak_memory'] / 2**20:.0f} MiB"
    )
