"""Digests of uploads from outside: a whole prefix, then what changed, and the one object that an event names."""

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest
import pytest_asyncio
from aws import Aws
from worker_process import Worker, adds_up, finished

from jobs.digest_uploads import DigestUploads
from jobs.digest_uploads import Uploads as UploadsScope
from jobs.local.digest_uploads import filled
from worker import Run
from worker.attributes import from_item
from worker.database import Link
from worker.job import Result
from worker.local.aws import Aws as Client
from worker.outcome import Done
from worker.store.migrate import migrate

Uploads = dict[str, str]


@pytest_asyncio.fixture
async def uploads(database_url: str, aws: Aws) -> AsyncIterator[Uploads]:
    """Give the environment of 40 uploads, in a bucket with versions."""
    async with Link(database_url, "test") as link:
        await migrate(link)
    name = aws.bucket().replace("test", "uploads")
    async with Client(aws.url) as client:
        given = await filled(client, 40, name, f"digests-{name}")
    aws.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield {**aws.environment, "AWS_REGION": "us-east-1", **given, "DATABASE_URL": database_url}


async def digested(uploads: Uploads, *arguments: str) -> tuple[int, Worker]:
    """Run the job."""
    return await finished("digest-uploads", *arguments, **uploads)


def digests(aws: Aws, uploads: Uploads) -> dict[str, Any]:
    """Read the table: size, lines and SHA-256 by key."""
    client = aws.client("dynamodb", "us-east-1")
    items = [from_item(item) for item in client.scan(TableName=uploads["DIGESTS_TABLE"])["Items"]]
    client.close()
    return {item["object"].partition("/")[2]: (item["size"], item["lines"], item["sha256"]) for item in items}


def expected(aws: Aws, uploads: Uploads, prefix: str = "uploads/") -> dict[str, Any]:
    """Compute what the table should hold."""
    bucket = uploads["UPLOADS_BUCKET"]
    bodies = {key: aws.body(bucket, key) for key in aws.keys(bucket, prefix)}
    return {key: (len(body), body.count(b"\n"), sha256(body).hexdigest()) for key, body in bodies.items()}


async def test_digest_uploads_digests_all_and_then_what_changed(uploads: Uploads, aws: Aws) -> None:
    """Every file under the prefix, and none beside it; the next run digests what has another ETag."""
    code, first = await digested(uploads)
    assert (code, first.end["tally"]["done"]) == (0, 40), first.lines
    assert digests(aws, uploads) == expected(aws, uploads)
    aws.s3.put_object(Bucket=uploads["UPLOADS_BUCKET"], Key="uploads/000007.txt", Body=b"changed\n" * 9)
    code, second = await digested(uploads)
    assert adds_up(second.end["tally"])
    assert (code, second.end["tally"]["done"], second.end["tally"]["skipped"]) == (0, 1, {"digested before": 39})
    assert digests(aws, uploads) == expected(aws, uploads)


async def test_digest_uploads_of_an_event_digests_its_version(uploads: Uploads, aws: Aws) -> None:
    """The one object, in the version that the event names, though there is a newer one; nothing else is read."""
    bucket, key = uploads["UPLOADS_BUCKET"], "other/late file+1.txt"
    old = aws.s3.put_object(Bucket=bucket, Key=key, Body=b"old\n")["VersionId"]
    aws.s3.put_object(Bucket=bucket, Key=key, Body=b"new")
    scope = ("--scope", f"key={key}", "--scope", f"version={old}")
    code, ran = await digested(uploads, *scope)
    assert (code, ran.end["tally"]["read"]) == (0, 1), ran.lines
    assert digests(aws, uploads) == {key: (4, 1, sha256(b"old\n").hexdigest())}


async def test_digest_uploads_of_an_object_that_is_not_there_is_a_fault(uploads: Uploads) -> None:
    """A mistyped key does not succeed with nothing done."""
    code, ran = await digested(uploads, "--scope", "key=uploads/no.txt")
    assert code == 2
    assert "there is no object with the key of s3://" in ran.faults[0]


async def test_digest_uploads_of_an_older_version_replaces_no_newer_digest(
    uploads: Uploads, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the newer one was written between the look at the table and the write: runs of two scopes overlap."""
    monkeypatch.setenv("AWS_REGION", uploads["AWS_REGION"])
    bucket, key = uploads["UPLOADS_BUCKET"], "other/late.txt"
    version = aws.s3.put_object(Bucket=bucket, Key=key, Body=b"old")["VersionId"]
    scope = UploadsScope(key=key, version=version)
    run = Run("digest-uploads", "key", scope, environment=uploads | {"UPLOADS_PREFIX": "uploads/"})
    job = DigestUploads()
    source = job.source(run)
    await job.open(run)
    assert await source.check() == []
    [record] = (await source.page(None, 1)).records
    old = await job.process(record, run)
    assert isinstance(old, Done)
    newer = old.value | {"written": "9999", "etag": "newer"}
    assert await job.write([Result(record, newer)], None) == [newer]
    assert await job.write([Result(record, newer)], None) == [newer], "its own work counts as written"
    assert await job.write([Result(record, old.value)], None) == []
    assert await job.digests.get(newer) == newer
    await run.resources.aclose()
