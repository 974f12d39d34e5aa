"""The job expire-sessions from outside: a real process, its table, its archive and its run store in a local AWS."""

import gzip
import json
import secrets
from collections.abc import AsyncIterator
from time import time

import pytest
from aws import Aws
from worker_process import Worker, finished

from jobs.expire_sessions import ExpireSessions, Part
from worker import Run, Scope, Table
from worker.job import Result
from worker.sources import dynamodb
from worker.store.table import Table as RunTable
from worker.store.table_making import migrate

DAY_S = 24 * 3600
TABLE = {
    "BillingMode": "PAY_PER_REQUEST",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
}


class Sessions:
    """Twenty sessions that have expired, ten that are alive, one that never expires; and where the job puts them."""

    def __init__(self, aws: Aws, table: Table) -> None:
        self.aws, self.table, self.bucket = aws, table, aws.bucket()
        place = {"SESSIONS_TABLE": table.name, "ARCHIVE_BUCKET": self.bucket}
        self.environment = aws.environment | place | {"RUN_TABLE": f"{table.name}-runs"}
        self.expired = {f"expired {n}" for n in range(20)}
        self.alive = {f"alive {n}" for n in range(10)} | {"for ever"}

    async def fill(self) -> None:
        """Put them into the table."""
        now = int(time())
        await self.table.put({"id": name, "expires_at": now - DAY_S, "cart": {b"a"}} for name in self.expired)
        await self.table.put({"id": name, "expires_at": now + DAY_S} for name in self.alive - {"for ever"})
        await self.table.put([{"id": "for ever"}])

    async def there(self) -> set[str]:
        """Give the ids of those that are in the table."""
        run = Run("test", "key", Scope())
        source = dynamodb.scan(run, self.table.name)
        assert await source.check() == []
        page = await source.page(None, 100)
        await run.resources.aclose()
        return {session["id"] for session in page.records}

    def archived(self) -> list[str]:
        """Give the ids of those that are in the archive."""
        bodies = [self.aws.body(self.bucket, key) for key in self.aws.keys(self.bucket, "sessions/")]
        return [json.loads(line)["id"] for body in bodies for line in gzip.decompress(body).splitlines()]

    async def finished(self, *arguments: str) -> tuple[int, Worker]:
        """Run the job to its end."""
        return await finished("expire-sessions", *arguments, **self.environment)


@pytest.fixture
async def sessions(aws: Aws) -> AsyncIterator[Sessions]:
    """Give the sessions, and a run store of their own."""
    name = f"sessions-{secrets.token_hex(4)}"
    aws.client("dynamodb").create_table(TableName=name, **TABLE)
    async with RunTable(f"{name}-runs", "test") as runs, Table(Run("test", "key", Scope()), name) as table:
        await migrate(runs)
        made = Sessions(aws, table)
        await made.fill()
        yield made


async def test_expiry_deletes_what_has_expired_and_archives_it(sessions: Sessions) -> None:
    """A dry run changes nothing; then each expired session is in the archive once and gone, all others stay, and nothing is left."""
    code, dry = await sessions.finished("--dry-run")
    assert (code, dry.end["tally"]["done"]) == (0, 20)
    assert (await sessions.there(), sessions.archived()) == (sessions.expired | sessions.alive, [])
    code, run = await sessions.finished()
    assert code == 0, run.lines
    assert await sessions.there() == sessions.alive
    assert sorted(sessions.archived()) == sorted(sessions.expired)
    assert run.end["tally"]["done"] == 20
    code, again = await sessions.finished()
    assert (code, again.end["tally"]["read"], len(sessions.archived())) == (0, 0, 20)


async def test_expiry_by_segments_shares_the_table_out(sessions: Sessions) -> None:
    """Runs over all segments do together what one run does, each session once."""
    for segment in range(2):
        code, _ = await sessions.finished("--scope", f"segment={segment}", "--scope", "segments=2")
        assert code == 0
    assert await sessions.there() == sessions.alive
    assert sorted(sessions.archived()) == sorted(sessions.expired)


async def test_expiry_leaves_a_session_that_is_renewed_meanwhile(sessions: Sessions) -> None:
    """What was renewed, or never expires any more, since it was read stays and counts as not written; writing again does no harm."""
    run = Run("expire-sessions", "key", Part(), environment=sessions.environment)
    job = ExpireSessions()
    source = job.source(run)
    await job.open(run)
    assert await source.check() == []
    records = (await source.page(None, 100)).records
    later = {":later": int(time()) + DAY_S}
    assert await sessions.table.update_if({"id": "expired 7"}, "SET expires_at = :later", values=later)
    assert await sessions.table.update_if({"id": "expired 8"}, "REMOVE expires_at")
    results = [Result(record, None) for record in records]
    for _ in range(2):
        written = await job.write(results, None)
        assert written is not None
        assert {record["id"] for record in written} == sessions.expired - {"expired 7", "expired 8"}
    await run.resources.aclose()
    assert await sessions.there() == sessions.alive | {"expired 7", "expired 8"}
    assert sorted(sessions.archived()) == sorted(sessions.expired), "in one object, which was written twice"
