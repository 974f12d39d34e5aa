"""Digest uploaded files: SHA-256, size and lines of each, into a DynamoDB table."""

from hashlib import sha256

from worker import (
    VALUE,
    Bucket,
    Connection,
    ErrorBudget,
    Every,
    Job,
    Limits,
    ObjectCreated,
    Outcome,
    Record,
    Results,
    Run,
    Scope,
    Source,
    Table,
    Written,
    columns,
    done,
    s3,
    skipped,
)


class Uploads(Scope):
    """Which files: all under the prefix, or the one that an event names."""

    bucket: str | None = None
    key: str | None = None
    version: str | None = None


class DigestUploads(Job[Uploads]):
    """A file that was digested with the same ETag is left alone; an event that comes late replaces no newer digest."""

    schedule, on_object, max_tasks = Every(hours=1), ObjectCreated(prefix="uploads/"), 10
    limits = Limits(concurrency=16, page_size=100, record_timeout=80)
    environment = {"UPLOADS_BUCKET": None, "UPLOADS_PREFIX": "uploads/", "DIGESTS_TABLE": None}
    errors = ErrorBudget(tolerated=0.01)  # replaced between listing and reading: the next run's
    idempotent = one_per_scope = True

    def source(self, run: Run[Uploads]) -> Source:
        self.bucket = run.scope.bucket or run.environment["UPLOADS_BUCKET"]
        one, prefix = run.scope.key, run.environment["UPLOADS_PREFIX"]
        return s3.one(run, self.bucket, one, run.scope.version) if one else s3.objects(run, self.bucket, prefix)

    async def open(self, run: Run[Uploads]) -> None:
        self.uploads = await run.enter(Bucket(run, self.bucket))
        self.digests = await run.enter(Table(run, run.environment["DIGESTS_TABLE"]))

    async def process(self, file: Record, run: Run[Uploads]) -> Outcome:
        item = {"object": f"{self.bucket}/{file['key']}", "etag": file["etag"], "written": str(file["last_modified"])}
        known = await self.digests.get(item)
        if known and (known["etag"] == item["etag"] or known["written"] > item["written"]):
            return skipped("digested before")
        digest, lines = sha256(), 0
        async for chunk in self.uploads.stream(file["key"], file["version"], etag=file["etag"]):
            digest.update(chunk)
            lines += chunk.count(b"\n")
        return done(item | {"size": file["size"], "sha256": digest.hexdigest(), "lines": lines})

    async def write(self, results: Results, connection: Connection) -> Written:
        items, older = columns(results, VALUE)[0], "attribute_not_exists(written) OR written <= :written"
        return [item for item in items if await self.digests.put_if([item], older, {":written": item["written"]})]
