"""Start the provider's simulator and servers with bad manners for tests, in this process and on its event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from worker.job import Run
from worker.local.fate import failing_tries, fate
from worker.local.provider import listening
from worker.local.provider_answers import Behaviour, Simulator
from worker.scope import Scope

SEED = 7

Answering = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Provider(NamedTuple):
    """A simulator that listens."""

    url: str
    simulator: Simulator


@asynccontextmanager
async def provider(**behaviour: Any) -> AsyncIterator[Provider]:
    """Run the simulator with this behaviour."""
    simulator = Simulator(Behaviour(**behaviour), SEED)
    async with listening(simulator) as url:
        yield Provider(url, simulator)
    await asyncio.sleep(0)  # transports that were cut close their sockets in the loop's next round


@asynccontextmanager
async def answering(answer: Answering) -> AsyncIterator[str]:
    """Run a server that reads the head of each request and leaves the rest to the test."""
    calls: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls[asyncio.current_task()] = writer
        try:
            while True:
                await answer(await reader.readuntil(b"\r\n\r\n"), reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in calls.values():
        writer.transport.abort()
    await asyncio.gather(*filter(None, calls))


@asynccontextmanager
async def saying(status: str, *headers: str, body: bytes = b"") -> AsyncIterator[str]:
    """Run a server that gives everybody the same answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]).encode()

    async def answer(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + body)

    async with answering(answer) as url:
        yield url


def a_run(**options: Any) -> Run[Scope]:
    """Make the run that clients are made with."""
    return Run("poll-payments", "2026-11-22", Scope(), **options)


def ref_of(status: str | None, *, fail: float = 0.0, failing: float = 0, start: int = 0) -> str:
    """Find a payment with this status whose first `failing` tries fail."""
    for number in range(start, start + 1_000_000):
        ref = f"pi_test{number}"
        known = fate(SEED, ref)
        if known.status == status and failing_tries(known.trouble, fail) == failing:
            return ref
    raise AssertionError(f"no payment is {status} with {failing} failing tries")
