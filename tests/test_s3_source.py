"""The S3 sources where things go wrong: what is not there, replaced, damaged or cut off; and what they select."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws import Aws
from cutting import cutting

from worker import Bucket, Permanent, Run, Scope
from worker.errors import Transient
from worker.lines import Form, Line
from worker.source import Key, Source
from worker.sources import s3

COUNT = 30_000


@pytest.fixture
async def run(aws: Aws) -> AsyncIterator[Run[Scope]]:
    """Give a run whose clients are closed at the end."""
    run = Run("job", "key", Scope())
    yield run
    await run.resources.aclose()


def numbered(count: int = COUNT) -> bytes:
    """Make JSON lines that do not pack well."""
    return b"".join(b'{"id": %d, "noise": "%x"}\n' % (number, hash((number, "noise")) ** 4) for number in range(count))


async def checked(source: Source) -> Source:
    """Check a source that must have no fault."""
    assert await source.check() == []
    return source


async def ids(source: Source, after: Key | None = None, size: int = 500) -> list[int]:
    """Read to the end, as patiently as the engine does."""
    found: list[int] = []
    while True:
        try:
            page = await source.page(after, size)
        except Transient:
            await asyncio.sleep(0)
            continue
        found += [record["id"] for record in page.records]
        if (after := page.after) is None:
            return found


async def pages(source: Source, seen: list[int]) -> None:
    """Read pages and note how many records each has."""
    after: Key | None = None
    while True:
        page = await source.page(after, 700)
        seen.append(len(page.records))
        after = page.after


@pytest.mark.parametrize("key", ["lines.jsonl", "lines.jsonl.gz"])
async def test_lines_go_on_after_a_cut(aws: Aws, run: Run[Scope], monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """Connections that break off in the middle of the body, one after the other: each line comes once, in its order."""
    bucket, data = aws.bucket(), numbered()
    aws.s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(data) if key.endswith("gz") else data)
    async with cutting(aws.url, 200_000, 100_000, 300_000) as through:
        monkeypatch.setenv("AWS_ENDPOINT_URL", through.url)
        assert await ids(await checked(s3.lines(run, bucket, key))) == list(range(COUNT))
        assert through.cuts == []
        await run.resources.aclose()


async def test_stream_goes_on_after_a_cut(aws: Aws, run: Run[Scope], monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that streams an object sees none of it."""
    bucket, data = aws.bucket(), numbered()
    aws.s3.put_object(Bucket=bucket, Key="a", Body=data)
    async with cutting(aws.url, 100_000, 150_000, 200_000) as through:
        monkeypatch.setenv("AWS_ENDPOINT_URL", through.url)
        async with Bucket(run, bucket) as client:
            assert b"".join([chunk async for chunk in client.stream("a")]) == data
        assert through.cuts == []


async def test_lines_refuse_an_object_that_is_replaced(aws: Aws, run: Run[Scope]) -> None:
    """While it is read it fails the run; a cursor of the old one has another order, which the next attempt refuses."""
    bucket = aws.bucket()
    aws.s3.put_object(Bucket=bucket, Key="a", Body=numbered())
    source = await checked(s3.lines(run, bucket, "a"))
    page = await source.page(None, 10)
    aws.s3.put_object(Bucket=bucket, Key="a", Body=numbered(5))
    with pytest.raises(Permanent, match="was replaced while it was read") as refused:
        await source.records([source.key(record) for record in page.records])
    assert refused.value.type == "ObjectChanged"
    assert (await checked(s3.lines(run, bucket, "a"))).order != source.order


async def test_lines_of_a_version_are_read_though_it_was_replaced(aws: Aws, run: Run[Scope]) -> None:
    """Whoever names the version goes on in it."""
    bucket = aws.bucket(versioned=True)
    old = aws.s3.put_object(Bucket=bucket, Key="a", Body=numbered(7))["VersionId"]
    aws.s3.put_object(Bucket=bucket, Key="a", Body=numbered(5))
    assert await ids(await checked(s3.lines(run, bucket, "a", version=old))) == list(range(7))


async def test_lines_before_damage_are_given_first(aws: Aws, run: Run[Scope]) -> None:
    """An object that was cut short: all that can be read is read, then the source says what is wrong with which object."""
    bucket, packed = aws.bucket(), gzip.compress(numbered())
    aws.s3.put_object(Bucket=bucket, Key="a.gz", Body=packed[:-1_000])
    source = await checked(s3.lines(run, bucket, "a.gz"))
    seen: list[int] = []
    with pytest.raises(Permanent, match=rf"s3://{bucket}/a.gz is cut short"):
        await pages(source, seen)
    assert COUNT - 60 < sum(seen) < COUNT
    assert sum(seen) % 700


@pytest.mark.parametrize("key", ["lines.jsonl", "lines.jsonl.gz"])
async def test_lines_are_read_again_wherever_they_are(aws: Aws, run: Run[Scope], key: str) -> None:
    """Near each other and far apart, in any order."""
    bucket, data = aws.bucket(), numbered()
    aws.s3.put_object(Bucket=bucket, Key=key, Body=gzip.compress(data) if key.endswith("gz") else data)
    source = await checked(s3.lines(run, bucket, key))
    records: dict[int, Line] = {record["id"]: record for record in (await source.page(None, COUNT)).records}
    wanted = [29_999, 5, 6, 0, 15_000, 15_002]
    found = await source.records([source.key(records[number]) for number in wanted])
    assert [record["id"] for record in found] == sorted(wanted)


@pytest.mark.parametrize(
    ("form", "key", "body", "said"),
    [
        ("jsonl", "a.gz", b"no gzip", "is no gzip"),
        ("jsonl", "a.gz", b"", "is cut short"),
        ("csv", "a", b"id,id\n1,2\n", "header that names a field twice"),
        ("jsonl", "b", None, "is not there"),
    ],
)
async def test_lines_that_cannot_be_read_are_a_fault(
    aws: Aws, run: Run[Scope], form: Form, key: str, body: bytes | None, said: str
) -> None:
    """What is wrong with the whole object is known before any record is touched."""
    bucket = aws.bucket()
    if body is not None:
        aws.s3.put_object(Bucket=bucket, Key=key, Body=body)
    (fault,) = await s3.lines(run, bucket, key, form=form).check()
    assert f"s3://{bucket}/{key}" in fault
    assert said in fault


async def test_objects_are_selected_by_suffix_and_date(aws: Aws, run: Run[Scope]) -> None:
    """By the end of the key, by when they were written, never a console's folder; read again as well."""
    bucket, now = aws.bucket(), datetime.now(UTC)
    aws.put(bucket, {"in/": "", "in/a.csv": "1", "in/b.txt": "22", "in/sub/c.csv": "333", "out/d.csv": "4"})

    async def keys(**narrowed: Any) -> list[str]:
        source = await checked(s3.objects(run, bucket, "in/", **narrowed))
        page = await source.page(None, 10)
        again = await source.records([("in/a.csv",), ("in/b.txt",), ("in/",), ("in/gone",)])
        assert {record["key"] for record in again} <= {record["key"] for record in page.records}
        return [record["key"] for record in page.records]

    hour = timedelta(hours=1)
    assert await keys() == ["in/a.csv", "in/b.txt", "in/sub/c.csv"]
    assert await keys(suffix=".csv", since=now - hour, until=now + hour) == ["in/a.csv", "in/sub/c.csv"]
    assert await keys(since=now + hour) == []
    assert await keys(until=now - hour) == []
    with pytest.raises(ValueError, match="time zone"):
        s3.objects(run, bucket, since=datetime(2026, 1, 1))


async def test_objects_of_no_bucket_are_a_fault(aws: Aws, run: Run[Scope]) -> None:
    """A bucket that is not there is said before the run begins; so is an object."""
    (fault,) = await s3.objects(run, "no-such-bucket", "in/").check()
    assert "s3://no-such-bucket/in/ cannot be listed" in fault
    assert "NoSuchBucket" in fault
    (fault,) = await s3.one(run, aws.bucket(), "gone").check()
    assert "there is no object with the key of" in fault


async def test_one_object_is_read_in_the_version_of_the_event(aws: Aws, run: Run[Scope]) -> None:
    """It is the only record, and can be read again."""
    bucket = aws.bucket(versioned=True)
    old = aws.s3.put_object(Bucket=bucket, Key="a", Body=b"old")["VersionId"]
    aws.s3.put_object(Bucket=bucket, Key="a", Body=b"newer")
    source = await checked(s3.one(run, bucket, "a", old))
    (record,), after = await source.page(None, 10)
    assert (record["version"], record["size"], after) == (old, 3, None)
    key = source.decode(json.loads(json.dumps(source.encode(source.key(record)))))
    assert await source.records([key]) == [record]
    assert (await source.page(key, 10)).records == []
