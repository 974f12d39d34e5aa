"""S3 objects, as clients and sources both use them: described, and their bodies streamed whatever becomes of a connection."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from worker.boto import Client, translated
from worker.errors import Permanent, Throttled, Transient
from worker.source import Record

T = TypeVar("T")

CHUNK = 256 * 1024
"""So many bytes of a body are held at once, at most."""
SOURCE = "source"
"""The metadata that names what an object was made of."""
_PAUSES_S = (0.1, 0.5, 2.0)
"""Before what failed in passing is tried again; then it is the engine's to retry."""


def described(key: str, answer: Mapping[str, Any]) -> Record:
    """Give an object as a record, from its entry in a listing or the answer to a HEAD."""
    return {
        "key": key,
        "size": answer["Size"] if "Size" in answer else answer["ContentLength"],
        "etag": answer["ETag"].strip('"'),
        "last_modified": answer["LastModified"],
        "version": answer.get("VersionId"),
        "source": answer.get("Metadata", {}).get(SOURCE),  # a listing does not tell it
    }


async def head(client: Client, bucket: str, key: str, version: str | None = None) -> Record | None:
    """Ask for an object's description; None: it is not there."""
    try:
        return described(key, await client.call("head_object", Bucket=bucket, Key=key, **_of(version)))
    except Permanent as error:
        if error.type in ("404", "NoSuchKey"):
            return None
        raise


async def again(call: Callable[[], Awaitable[T]]) -> T:
    """Call, and call again a few times if it fails in passing; a throttle is for the engine, which pauses everybody."""
    for pause in _PAUSES_S:
        try:
            return await call()
        except Throttled:
            raise
        except Transient:
            await asyncio.sleep(pause)
    return await call()


class Body:
    """The bytes of one object, from `start` up to `end`: after a cut it goes on where it was, in the same version of the object."""

    def __init__(
        self,
        client: Client,
        bucket: str,
        key: str,
        *,
        start: int = 0,
        end: int | None = None,
        version: str | None = None,
        etag: str | None = None,
    ) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._version, self._etag = version, etag
        self._stream: Any = None
        self.position, self._end = start, end

    async def read(self) -> bytes:
        """Give the next bytes; none at the end.

        Raises Transient when the object could not be reached for several tries in a row, Permanent when it is gone or was
        replaced since its first byte (or since it had the given ETag).
        """
        chunk = await again(self._next)
        self.position += len(chunk)
        return chunk

    def close(self) -> None:
        """Let go of the connection."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    async def _next(self) -> bytes:
        if self._end is not None and self.position >= self._end:
            self.close()
            return b""
        try:
            if self._stream is None:
                await self._open()
            with translated(f"reading {self}"):
                chunk: bytes = await self._stream.read(CHUNK)
            if not chunk and self._end is not None and self.position < self._end:
                raise Transient(f"{self} ended {self._end - self.position:,} bytes too early")
        except BaseException:
            self.close()
            raise
        return chunk

    async def _open(self) -> None:
        asked: dict[str, Any] = _of(self._version)
        if self._etag is not None:
            asked["IfMatch"] = f'"{self._etag}"'
        if self.position or self._end is not None:
            asked["Range"] = f"bytes={self.position}-{'' if self._end is None else self._end - 1}"
        try:
            answer = await self._client.call("get_object", Bucket=self._bucket, Key=self._key, **asked)
        except Permanent as error:
            if error.type == "PreconditionFailed":
                raise Permanent(
                    f"{self} was replaced while it was read: it no longer has the ETag {self._etag}", "ObjectChanged"
                ) from error
            raise
        self._stream, self._end = answer["Body"], self.position + answer["ContentLength"]
        self._etag, self._version = answer["ETag"].strip('"'), answer.get("VersionId", self._version)

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._key}"


def _of(version: str | None) -> dict[str, Any]:
    return {} if version is None else {"VersionId": version}
