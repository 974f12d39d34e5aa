"""Nothing but GETs and their bodies, 64 in flight, by one of the HTTP client libraries that a job could be given."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec

from bench.rivals.told import parser, tell

IN_FLIGHT = 64
Get = Callable[[str], Awaitable[bytes]]


@asynccontextmanager
async def pyreqwest(api: str, headers: dict[str, str]) -> AsyncIterator[Get]:
    """Take Rust's reqwest."""
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().base_url(api).default_headers(headers).build() as client:

        async def get(path: str) -> bytes:
            response = await client.get(path).build().send()
            return (await response.bytes()).to_bytes()

        yield get


@asynccontextmanager
async def aiohttp(api: str, headers: dict[str, str]) -> AsyncIterator[Get]:
    """Take the usual choice."""
    from aiohttp import ClientSession

    async with ClientSession(api, headers=headers) as session:

        async def get(path: str) -> bytes:
            async with session.get(path) as response:
                return await response.read()

        yield get


@asynccontextmanager
async def httpx(api: str, headers: dict[str, str]) -> AsyncIterator[Get]:
    """Take it where it is installed."""
    from httpx import AsyncClient, Limits

    async with AsyncClient(base_url=api, headers=headers, limits=Limits(max_connections=IN_FLIGHT)) as client:

        async def get(path: str) -> bytes:
            return bytes((await client.get(path)).content)

        yield get


@asynccontextmanager
async def niquests(api: str, headers: dict[str, str]) -> AsyncIterator[Get]:
    """Take it where it is installed."""
    from niquests import AsyncSession

    async with AsyncSession(pool_connections=IN_FLIGHT, pool_maxsize=IN_FLIGHT) as session:

        async def get(path: str) -> bytes:
            return bytes((await session.get(api + path, headers=headers)).content or b"")

        yield get


CLIENTS = {"pyreqwest": pyreqwest, "aiohttp": aiohttp, "httpx": httpx, "niquests": niquests}


def installed() -> list[str]:
    """Give the libraries that can be measured here."""
    return [name for name in CLIENTS if find_spec(name)]


async def work(client: str, rows: int, api: str, key: str) -> tuple[int, float]:
    """Get as many payments; give how many and when it began."""
    numbers = iter(range(rows))
    got = 0

    async def ask(get: Get) -> None:
        nonlocal got
        for number in numbers:
            await get(f"/v1/payment_intents/pi_test{number}")
            got += 1

    async with CLIENTS[client](api, {"Authorization": f"Bearer {key}"}) as get:
        await get("/v1/payment_intents/pi_test0")
        began = time.perf_counter()
        await asyncio.gather(*(ask(get) for _ in range(IN_FLIGHT)))
    return got, began


if __name__ == "__main__":
    known = parser(__doc__)
    known.add_argument("--client", choices=CLIENTS, default="pyreqwest")
    known.add_argument("--api", required=True)
    known.add_argument("--key", required=True)
    options = known.parse_args()
    tell(options.loop, partial(work, options.client, options.rows, options.api, options.key))
