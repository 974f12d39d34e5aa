"""A server that answers each request with the next reply of a script, bytes as they stand, for what no real server does on demand."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

CUT = b""
"""The connection is closed without an answer."""


def reply(status: int, body: bytes | dict[str, Any], *, length: int | None = None) -> bytes:
    """Make a reply; `length` is what its header says, which may be more than there is."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = len(sent) if length is None else length
    return f"HTTP/1.1 {status} Said\r\nContent-Length: {size}\r\n\r\n".encode() + sent


def refused(code: str, message: str = "no", **more: Any) -> bytes:
    """Make an error answer as DynamoDB does."""
    return reply(400, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more})


class Scripted:
    """`url` is where it listens, `asked` holds the bodies that came, `connections` how many were made."""

    def __init__(self, replies: Sequence[bytes]) -> None:
        self._replies = list(replies)
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection's requests."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                self.asked.append(json.loads(await reader.readexactly(length)))
                said = self._replies.pop(0)
                writer.write(said)
                await writer.drain()
                if said == CUT or len(said.split(b"\r\n\r\n", 1)[1]) < int(said.split(b": ")[1].split(b"\r\n")[0]):
                    return
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*replies: bytes) -> AsyncIterator[Scripted]:
    """Serve a script."""
    script = Scripted(replies)
    async with await asyncio.start_server(script.serve, "127.0.0.1", 0) as server:
        script.url = "http://{}:{}".format(*server.sockets[0].getsockname())
        yield script
