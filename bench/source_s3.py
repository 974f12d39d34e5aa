"""S3: a listing by aiobotocore, one page after the other, against `s3.objects`; over a server whose pages are ready made.

moto takes far longer for a page than either side, which would make any two sides look alike.
"""

import asyncio
import functools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiobotocore.session import get_session

from worker.job import Run
from worker.source import Source
from worker.sources import s3

_PAGE = 500
_OBJECT = (
    "<Contents><Key>uploads/{:09}</Key><LastModified>2026-11-22T00:00:00.000Z</LastModified>"
    "<ETag>&quot;9b2cf535f27731c974343645a3985328&quot;</ETag><Size>1024</Size><StorageClass>STANDARD</StorageClass></Contents>"
)
_LISTING = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<IsTruncated>{}</IsTruncated><NextContinuationToken>{}</NextContinuationToken>{}</ListBucketResult>"
)


class Listing:
    """A bucket that has as many objects as its name says."""

    def __init__(self, client: Any) -> None:
        self._client, self._bucket = client, ""

    async def fill(self, records: int) -> None:
        """Name the bucket that has so many."""
        self._bucket = f"uploads-{records}"

    def source(self, run: Run[Any]) -> Source:
        """List it."""
        return s3.objects(run, self._bucket, "uploads/")

    async def bare(self) -> int:
        """List it page by page, leaving the entries as they come."""
        read, start = 0, dict[str, str]()
        while True:
            page = await self._client.list_objects_v2(Bucket=self._bucket, Prefix="uploads/", MaxKeys=_PAGE, **start)
            read += len(page["Contents"])
            if not page["IsTruncated"]:
                return read
            start = {"ContinuationToken": page["NextContinuationToken"]}


@asynccontextmanager
async def comparison() -> AsyncIterator[Listing]:
    """Start the server, in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=pipe, stdout=pipe)
    assert server.stdout is not None
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{int(await server.stdout.readline())}"
    try:
        async with get_session().create_client("s3") as client:
            yield Listing(client)
    finally:
        server.kill()
        await server.wait()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection."""
    try:
        while True:
            asked = urlsplit((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            after = query.get("continuation-token") or query.get("start-after", "0")
            start = int(after.removeprefix("uploads/"))
            body = page(int(asked.path.rpartition("-")[2]), start, min(int(query["max-keys"]), _PAGE))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


@functools.cache
def page(records: int, start: int, size: int) -> bytes:
    """Make a page of the listing, once; keys count from 1 on."""
    end = min(records, start + size)
    entries = "".join(_OBJECT.format(number) for number in range(start + 1, end + 1))
    return _LISTING.format("true" if end < records else "false", end, entries).encode()


async def main() -> None:
    """Serve on a free port, which is printed, until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
