"""Archive the sessions that have expired to S3, and delete them."""

from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
from time import time

from worker import (
    Bucket,
    Connection,
    Cron,
    Job,
    Limits,
    Outcome,
    Record,
    Results,
    Run,
    Scope,
    Source,
    Table,
    Written,
    done,
    dynamodb,
    hours,
)


class Part(Scope):
    """Which part of the table: all of it, or one of the segments that several runs share out."""

    segment: int = 0
    segments: int = 1


class ExpireSessions(Job[Part]):
    """A session that is renewed after it was read, or no longer expires, stays: only what is still expired is deleted.

    An archive is named by the sessions in it and when they expired, so that archiving again does no harm; a session that was gone already counts as deleted.
    """

    schedule = Cron("0 3 * * ? *")
    timeout = hours(2)
    limits = Limits(concurrency=16, page_size=250)
    environment = {"SESSIONS_TABLE": None, "ARCHIVE_BUCKET": None}
    idempotent = True
    one_per_scope = True

    EXPIRED = "expires_at < :now"
    EXPIRED_OR_GONE = "attribute_not_exists(id) OR expires_at < :now"

    def source(self, run: Run[Part]) -> Source:
        self.now = {":now": int(time())}
        part, table = run.scope, run.environment["SESSIONS_TABLE"]
        return dynamodb.scan(run, table, filter=self.EXPIRED, values=self.now, segment=part.segment, of=part.segments)

    async def open(self, run: Run[Part]) -> None:
        self.sessions = await run.enter(Table(run, run.environment["SESSIONS_TABLE"]))
        self.archive = await run.enter(Bucket(run, run.environment["ARCHIVE_BUCKET"]))

    async def process(self, session: Record, run: Run[Part]) -> Outcome:
        return done(session["expires_at"])

    async def write(self, results: Results, connection: Connection) -> Written:
        expired = [result.record for result in results]
        name = sha256("\n".join(f"{session['id']} {session['expires_at']}" for session in expired).encode()).hexdigest()
        await self.archive.upload_lines(f"sessions/{name}.jsonl.gz", self.one_by_one(expired))
        return await self.sessions.delete_if(expired, self.EXPIRED_OR_GONE, self.now)

    async def one_by_one(self, sessions: Iterable[Record]) -> AsyncIterator[Record]:
        for session in sessions:
            yield session
