"""Serve the API on one address until asked to stop, and take the runs along."""

import asyncio
import contextlib
import logging
import math
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from starlette.types import ASGIApp

from worker.admin.ports import Carrier
from worker.errors import Faults
from worker.stop import Stop

_MOST_CONNECTIONS = 1_000
_log = logging.getLogger("worker.admin")


class _Server(uvicorn.Server):
    """A server that leaves the signals to the front door."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str = "127.0.0.1", port: int = 8080) -> socket.socket:
    """Take the address; port 0 takes a free one. Raises Faults where it cannot be had."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Faults(
            [f"cannot listen on {host} port {port}: {error.strerror}; choose with --host and --port"]
        ) from error


async def serve(
    app: ASGIApp,
    children: Carrier,
    listener: socket.socket,
    stop: Stop,
    stop_timeout_s: float = 30.0,
    trusted_proxies: Sequence[str] = (),
) -> None:
    """Serve until `stop` is asked; then all runs get SIGTERM and up to that many seconds, and the server ends after them."""
    server = _Server(_config(app, stop_timeout_s, trusted_proxies))
    asked = asyncio.create_task(stop.wait())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    named = f"[{host}]" if ":" in host else host
    _log.info("serving", extra={"host": host, "port": port, "console": f"http://{named}:{port}/console/"})
    try:
        await asyncio.wait({asked, serving}, return_when=asyncio.FIRST_COMPLETED)
        _log.info("stopping", extra={"reason": stop.reason, "runs": len(children.live)})
    finally:
        asked.cancel()
        server.should_exit = True
        await children.close(stop_timeout_s)
        await serving


def _config(app: ASGIApp, stop_timeout_s: float, trusted_proxies: Sequence[str]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",  # bounds what it keeps of a request's head at 64 KiB, which httptools does not
        limit_concurrency=_MOST_CONNECTIONS,
        lifespan="off",
        ws="none",
        log_config=None,  # its words go where all others go
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(trusted_proxies),  # whose X-Forwarded-For says who the client is
        forwarded_allow_ips=list(trusted_proxies),
        # Requests that wait for a run end with it; this is for what hangs all the same.
        timeout_graceful_shutdown=math.ceil(stop_timeout_s) + 2,
    )
