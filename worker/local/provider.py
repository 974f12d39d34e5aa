"""Run the payment provider's simulator as a process: it speaks Stripe's API on 127.0.0.1 and keeps its own limit.

Prints one line of JSON when it listens, `{"url": …, "api_key": …}`; ends on SIGTERM and SIGINT, and with `--until-eof` when
its standard input ends, so that it never outlives who started it.
"""

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec.json import encode

from worker.local.provider_answers import Behaviour, Simulator
from worker.local.provider_http import Connection

_BACKLOG = 4_096


@asynccontextmanager
async def listening(simulator: Simulator, port: int = 0) -> AsyncIterator[str]:
    """Listen on 127.0.0.1 and give the URL; port 0 takes any that is free. At the end connections are cut."""
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(simulator, connections), "127.0.0.1", port, backlog=_BACKLOG)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in tuple(connections):
            connection.cut()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the simulator until it is asked to end."""
    import uvloop

    options = _options(arguments)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    simulator = Simulator(Behaviour(rate=options.rate, delay=options.delay, fail=options.fail), options.seed)
    async with listening(simulator, options.port) as url:
        if options.until_eof:
            threading.Thread(target=_read_to_end, args=(loop, end), daemon=True).start()
        print(encode({"url": url, "api_key": simulator.api_key}).decode(), flush=True)  # noqa: T201 - its one line
        await end.wait()


def _read_to_end(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
    """Wait for the end of standard input: in a thread, because it may be a file, a terminal or a pipe."""
    while os.read(sys.stdin.fileno(), 4_096):
        continue
    loop.call_soon_threadsafe(end.set)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m worker.local.provider", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--rate", type=int, default=0, help="calls a second that are allowed; 0: no limit")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument(
        "--fail", type=float, default=0.0, help="share of tries that fail and succeed on a retry, 0 to 1"
    )
    parser.add_argument("--seed", type=int, default=7, help="decides each payment's fate, together with its reference")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
