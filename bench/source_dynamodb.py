"""DynamoDB: a scan by aiobotocore, one page after the other, against `dynamodb.scan`; over a server whose pages are ready made.

moto and dynalite take far longer for a page than either side, which would make any two sides look alike.
"""

import asyncio
import functools
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.session import get_session

from worker.job import Run
from worker.source import Source
from worker.sources import dynamodb

_PAGE = 500
_DESCRIBED = {
    "Table": {
        "TableStatus": "ACTIVE",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "N"}],
        "ItemCount": 0,
    }
}


class Scan:
    """A table of sessions, and how many are asked for of them."""

    def __init__(self, client: Any) -> None:
        self._client, self._table = client, ""

    async def fill(self, records: int) -> None:
        """Name the table that has so many."""
        self._table = f"sessions-{records}"

    def source(self, run: Run[Any]) -> Source:
        """Scan it."""
        return dynamodb.scan(run, self._table)

    async def bare(self) -> int:
        """Scan it page by page, leaving the values as they come."""
        read, start = 0, dict[str, Any]()
        while True:
            page = await self._client.scan(TableName=self._table, Limit=_PAGE, **start)
            read += len(page["Items"])
            if "LastEvaluatedKey" not in page:
                return read
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


@asynccontextmanager
async def comparison() -> AsyncIterator[Scan]:
    """Start the server, in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(sys.executable, __file__, stdin=pipe, stdout=pipe)
    assert server.stdout is not None
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{int(await server.stdout.readline())}"
    try:
        async with get_session().create_client("dynamodb") as client:
            yield Scan(client)
    finally:
        server.kill()
        await server.wait()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            asked = json.loads(await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0])))
            start = int(asked.get("ExclusiveStartKey", {"id": {"N": "0"}})["id"]["N"])
            body = json.dumps(_DESCRIBED).encode() if b".describetable" in head else page(asked["TableName"], start)
            size = min(asked.get("Limit", _PAGE), _PAGE)
            body = body if size == _PAGE else page(asked["TableName"], start, size)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    except asyncio.IncompleteReadError:
        writer.close()


@functools.cache
def page(table: str, start: int, size: int = _PAGE) -> bytes:
    """Make a page of sessions."""
    end = min(int(table.rpartition("-")[2]), start + size)
    items = [
        {
            "id": {"N": str(n)},
            "customer": {"S": f"customer-{n % 500}"},
            "cart": {"L": [{"S": f"item-{n % 7}"}]},
            "expires_at": {"N": "1795484784"},
        }
        for n in range(start + 1, end + 1)
    ]
    last = {"LastEvaluatedKey": {"id": {"N": str(end)}}} if len(items) == size else {}
    return json.dumps({"Items": items, "Count": len(items), "ScannedCount": len(items)} | last).encode()


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
