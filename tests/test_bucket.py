"""The S3 client that jobs are given, against moto over HTTP."""

from collections.abc import AsyncIterator
from urllib.request import urlopen

import pytest
from aws import Aws

from worker import Bucket, Permanent, Run, Scope
from worker.clients import s3

MIB = 1024 * 1024


def a_run(*, dry: bool = False) -> Run[Scope]:
    """Give a run that has no front door."""
    return Run("job", "key", Scope(), dry_run=dry)


async def chunks(count: int, size: int = MIB) -> AsyncIterator[bytes]:
    """Give chunks that differ."""
    for number in range(count):
        yield number.to_bytes(4) * (size // 4)


async def whole(stream: AsyncIterator[bytes]) -> bytes:
    """Read a stream to its end."""
    return b"".join([chunk async for chunk in stream])


async def test_bucket_puts_heads_and_streams(aws: Aws) -> None:
    """What is put is there, described and streamed; what is not there has no description and cannot be streamed."""
    name = aws.bucket()
    async with Bucket(a_run(), name) as bucket:
        await bucket.put("a/b.txt", b"hello", content_type="text/plain")
        found = await bucket.head("a/b.txt")
        assert found is not None
        assert (found["key"], found["size"], found["version"]) == ("a/b.txt", 5, None)
        assert await whole(bucket.stream("a/b.txt")) == b"hello"
        assert await bucket.head("a/c.txt") is None
        with pytest.raises(Permanent, match="NoSuchKey"):
            await whole(bucket.stream("a/c.txt"))
    assert aws.s3.head_object(Bucket=name, Key="a/b.txt")["ContentType"] == "text/plain"


async def test_bucket_streams_the_version_it_is_told(aws: Aws) -> None:
    """An event's version is read, though a newer one is there; an empty object has no bytes."""
    name = aws.bucket(versioned=True)
    async with Bucket(a_run(), name) as bucket:
        await bucket.put("a", b"old")
        old = (await bucket.head("a"))["version"]  # type: ignore[index]
        await bucket.put("a", b"")
        assert await whole(bucket.stream("a", old)) == b"old"
        assert await whole(bucket.stream("a")) == b""


@pytest.mark.parametrize("count", [0, 1, 8, 9, 17])
async def test_bucket_uploads_in_parts(aws: Aws, count: int) -> None:
    """Nothing, less than a part, exactly one, and several: the object is what the chunks were."""
    name = aws.bucket()
    async with Bucket(a_run(), name) as bucket:
        assert await bucket.upload("big", chunks(count)) == count * MIB
    assert aws.body(name, "big") == b"".join([number.to_bytes(4) * (MIB // 4) for number in range(count)])
    assert ("-" in aws.s3.head_object(Bucket=name, Key="big")["ETag"]) == (count > 8)


async def test_bucket_aborts_an_upload_that_fails(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks that break in the middle leave neither object nor parts."""
    monkeypatch.setattr(s3, "_PART", 5 * MIB)
    name = aws.bucket()

    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in chunks(11):
            yield chunk
        raise ZeroDivisionError

    async with Bucket(a_run(), name) as bucket:
        with pytest.raises(ZeroDivisionError):
            await bucket.upload("big", breaking())
    assert aws.keys(name) == []
    assert "Uploads" not in aws.s3.list_multipart_uploads(Bucket=name)


async def test_bucket_link_can_be_read_by_anybody(aws: Aws) -> None:
    """A link needs no credentials, and is signed in the way that every region and KMS take."""
    name = aws.bucket()
    async with Bucket(a_run(), name) as bucket:
        await bucket.put("report.csv", b"1,2")
        link = await bucket.link("report.csv", 60)
    assert "X-Amz-Signature" in link
    assert "X-Amz-Expires=60" in link
    with urlopen(link) as answer:  # noqa: ASYNC210 - nothing else runs here
        assert answer.read() == b"1,2"


async def test_bucket_writes_nothing_in_a_dry_run(aws: Aws) -> None:
    """A dry run reads; whatever writes is refused."""
    name = aws.bucket()
    aws.s3.put_object(Bucket=name, Key="a", Body=b"1")
    async with Bucket(a_run(dry=True), name) as bucket:
        assert await whole(bucket.stream("a")) == b"1"
        with pytest.raises(Permanent, match="dry run sends no PutObject"):
            await bucket.put("b", b"2")
        with pytest.raises(Permanent, match="dry run sends no CreateMultipartUpload"):
            await bucket.upload("b", chunks(9))
    assert aws.keys(name) == ["a"]
