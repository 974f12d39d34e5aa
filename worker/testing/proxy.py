"""A TCP proxy before PostgreSQL that breaks connections at a chosen message: what networks do, when a test wants it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import urlsplit

_READY = b"Z\x00\x00\x00\x05"
"""How an answer ends: ReadyForQuery and one byte (PostgreSQL documentation, 53.7 Message Formats)."""

_SSL_REQUEST = (80877103).to_bytes(4, "big")

When = Literal["before", "between", "after"]
"""Before the server has the message; once it has answered and the client does not know; once the client has the answer."""


@dataclass(eq=False)
class Break:
    """What is to happen at a client's message, once: `happened` is set when it did; the connection ends when `released` is."""

    text: bytes
    """Part of the message; empty: any message will do."""
    nth: int
    when: When
    happened: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    late: bool = False
    """The client is cut at once, and the server gets the message when `released` is set."""

    def meets(self, message: bytes) -> bool:
        """Count the messages that it waits for; tell whether this is the one."""
        if self.text not in message:
            return False
        self.nth -= 1
        return self.nth == 0


class Proxy:
    """Stand before a database: `async with Proxy(url) as proxy: proxy.url`. Messages are counted over all connections."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._breaks: list[Break] = []
        self._open: dict[asyncio.StreamWriter, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusing = 0.0
        """So many new connections are cut at once; `math.inf` for all."""
        self.delay_s = 0.0
        """Each message of a client waits so long before it is handed on."""
        self.connections = self.messages = self.commits = 0
        """How many there were, in all; of COMMITs, those that the server was handed."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user, at, _ = self._target.netloc.rpartition("@")
        self.url = self._target._replace(netloc=f"{user}{at}127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut every connection now."""
        for client, server in self._open.items():
            client.transport.abort()
            server.transport.abort()

    def stop_at(self, text: bytes, nth: int, when: When) -> Break:
        """Stand still at the n-th message with this text; the connection is cut when `released` is set."""
        return self._add(Break(text, nth, when))

    def cut_before(self, text: bytes, nth: int = 1) -> Break:
        """Cut the connection instead of handing on the n-th message with this text."""
        return self._add(_at_once(Break(text, nth, "before")))

    def cut_after(self, text: bytes, nth: int = 1) -> Break:
        """Hand the n-th message with this text on, let the server answer it, and cut the connection instead of telling.

        It must be one that is answered by itself: a simple query, as asyncpg sends `execute` without arguments, and COMMIT.
        """
        return self._add(_at_once(Break(text, nth, "between")))

    def hold(self, text: bytes, nth: int = 1) -> Break:
        """Cut the client at the n-th message with this text; hand it on, and leave the server, when `released` is set."""
        return self._add(Break(text, nth, "before", late=True))

    def _add(self, planned: Break) -> Break:
        self._breaks.append(planned)
        return planned

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing > 0:
            self.refusing -= 1
            client.transport.abort()
            return
        try:
            answers, server = await asyncio.open_connection(self._target.hostname, self._target.port or 5432)
        except OSError:  # the server is down: the client hears it as it would without us
            client.transport.abort()
            return
        self._open[client] = server
        back = asyncio.create_task(_back(answers, client))
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                planned, message = await self._forth(reader, server)
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
                await _break(planned, message, client, server, answers)
        finally:
            del self._open[client]
            back.cancel()
            for writer in (client, server):
                writer.transport.abort()
            await asyncio.gather(back, return_exceptions=True)

    async def _forth(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> tuple[Break, bytes]:
        """Hand messages on until one is to be broken; a first message has no type, and there may be two of those."""
        first = True
        while True:
            message = await _message(reader, first)
            first = first and message[4:8] == _SSL_REQUEST
            self.messages += 1
            met = [planned for planned in self._breaks if planned.meets(message)]
            if met:
                return met[0], message
            self.commits += b"COMMIT" in message
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            server.write(message)
            await server.drain()


def _at_once(planned: Break) -> Break:
    planned.released.set()
    return planned


async def _break(
    planned: Break,
    message: bytes,
    client: asyncio.StreamWriter,
    server: asyncio.StreamWriter,
    answers: asyncio.StreamReader,
) -> None:
    if planned.late:
        client.transport.abort()
        planned.happened.set()
        await planned.released.wait()
    if planned.late or planned.when != "before":
        server.write(message)
        answer = await _answer(answers)
        if planned.when == "after":
            client.write(answer)
    planned.happened.set()
    await planned.released.wait()


async def _back(answers: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await answers.read(65536):
            client.write(chunk)
            await client.drain()
    client.transport.abort()


async def _answer(answers: asyncio.StreamReader) -> bytes:
    """Read a whole answer of the server."""
    said = b""
    while said[-6:-1] != _READY and (chunk := await answers.read(65536)):
        said += chunk
    return said


async def _message(reader: asyncio.StreamReader, first: bool) -> bytes:
    head = await reader.readexactly(4 if first else 5)
    return head + await reader.readexactly(int.from_bytes(head[-4:], "big") - 4)
