"""Receive webhooks: count the deliveries of each id, be slow or fail when told to. It verifies nothing.

The id is the header `webhook-id` (Standard Webhooks specification); a delivery without one counts under its path.
"""

import asyncio
from collections import Counter
from typing import Any, Self

from aiohttp import web
from msgspec import Struct, ValidationError, structs
from msgspec.json import decode, encode

from worker.local.fate import failing_tries, fate

CONTROL = "/_receiver"
_BODY_LIMIT = 2**20


class Behaviour(Struct, kw_only=True, forbid_unknown_fields=True):
    """How it answers: after `delay` seconds, a share `fail` (0 to 1) of the tries and all under `down` paths with `status`."""

    delay: float = 0.0
    fail: float = 0.0
    status: int = 500
    down: tuple[str, ...] = ()


class Webhooks:
    """A receiver on 127.0.0.1: POST anywhere below `url`; `deliveries` counts what came, `accepted` what was answered 204.

    Other processes ask and change it as they do the provider: GET and PUT `/_receiver`, GET `/_receiver/deliveries`.
    """

    def __init__(self, behaviour: Behaviour | None = None, seed: int = 7) -> None:
        self.behaviour = behaviour or Behaviour()
        self.deliveries: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self._seed = seed

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=_BODY_LIMIT)
        application.router.add_get(CONTROL, self._tell)
        application.router.add_put(CONTROL, self._change)
        application.router.add_get(f"{CONTROL}/deliveries", self._list)
        application.router.add_post("/{path:.*}", self._receive)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def environment(self) -> dict[str, str]:
        """Give the variable that points at it."""
        return {"WEBHOOKS_URL": self.url}

    async def where(self) -> str:
        """Say what it is and where."""
        return f"webhook receiver at {self.url}"

    async def report(self) -> str:
        """Say in one line what it counted."""
        counts = self.counts()
        return (
            f"webhooks: {counts['requests']:,} requests, {counts['accepted']:,} of {counts['ids']:,} ids accepted, "
            f"at most {counts['most_of_one']:,} of one"
        )

    def counts(self) -> dict[str, int]:
        """Give what it has counted since it started."""
        return {
            "requests": self.deliveries.total(),
            "ids": len(self.deliveries),
            "accepted": len(self.accepted),
            "most_of_one": max(self.deliveries.values(), default=0),
        }

    async def _receive(self, request: web.Request) -> web.Response:
        await request.read()
        name = request.headers.get("webhook-id") or request.path
        self.deliveries[name] += 1
        refused = self._refuses(name, request.path)
        await asyncio.sleep(self.behaviour.delay)
        if refused:
            return web.Response(status=self.behaviour.status)
        self.accepted[name] += 1
        return web.Response(status=204)

    def _refuses(self, name: str, path: str) -> bool:
        failing = failing_tries(fate(self._seed, name).trouble, self.behaviour.fail)
        return self.deliveries[name] <= failing or path.startswith(self.behaviour.down)

    async def _tell(self, request: web.Request) -> web.Response:
        return _json(self.counts())

    async def _list(self, request: web.Request) -> web.Response:
        return _json(self.deliveries)

    async def _change(self, request: web.Request) -> web.Response:
        """Take the fields that are given; the others stay."""
        try:
            given = decode(await request.read(), type=dict[str, Any])
            told = encode(structs.asdict(self.behaviour) | given)
            self.behaviour = decode(told, type=Behaviour)
        except ValidationError as error:
            return _json({"error": str(error)}, status=400)
        return _json(self.counts())


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=encode(content), status=status, content_type="application/json")
