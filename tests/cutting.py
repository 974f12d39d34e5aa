"""A connection that breaks off in the middle of an answer: bytes go through until so many of one answer have come."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Cutting:
    """What goes through, and after how many bytes of an answer the next connections are cut."""

    def __init__(self, cuts: Iterable[int]) -> None:
        self.cuts = list(cuts)
        self.url = ""
        self.connections = 0


@asynccontextmanager
async def cutting(url: str, *cuts: int) -> AsyncIterator[Cutting]:
    """Stand before a server: the first connections that would answer with more bytes than this are cut there."""
    through, tasks = Cutting(cuts), set[asyncio.Task[None]]()
    there = urlsplit(url)

    async def serve(reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        through.connections += 1
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        answers, server = await asyncio.open_connection(there.hostname, there.port)
        forth = asyncio.create_task(_forth(reader, server))
        try:
            with suppress(ConnectionError):
                await _back(answers, client, through)
        finally:
            forth.cancel()
            server.close()
            client.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    through.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield through
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _forth(reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        server.write(data)


async def _back(answers: asyncio.StreamReader, client: asyncio.StreamWriter, through: Cutting) -> None:
    """Pass on what comes in one go; a large one is cut where it is to be."""
    sent = 0
    while data := await answers.read(65_536):
        if through.cuts and sent + len(data) > through.cuts[0]:
            client.write(data[: through.cuts.pop(0) - sent])
            await client.drain()
            return
        sent += len(data)
        client.write(data)
        await client.drain()
