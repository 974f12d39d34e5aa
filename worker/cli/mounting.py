"""The API as an ASGI application in a service of one's own: what `worker.admin.app` builds."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from worker.cli.admin import api, for_runs_s, mask_of, tokens_of
from worker.environment import settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class App:
    """Serve what `python -m worker serve` does, from `async with` or the server's own start on; at the end its runs are stopped.

    Raises Faults where a token or the run store is not named.
    """

    def __init__(self, *, most: int, ecs: bool) -> None:
        self._found, self._tokens = settings(), tokens_of(os.environ)
        self._most, self._ecs = most, ecs
        self._opened = AsyncExitStack()
        self._app: ASGIApp | None = None

    async def __aenter__(self) -> Self:
        opened = api(self._found, mask_of(self._found), self._tokens, ecs=self._ecs, most=self._most)
        self._app, carrier = await self._opened.enter_async_context(opened)
        self._opened.push_async_callback(carrier.close, for_runs_s(self._found))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._app = None
        await self._opened.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; or open and close with the server, where this is all that it serves."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._app is None:
            raise RuntimeError(
                "the admin API is not open: `async with` what worker.admin.app() gave, in the service's lifespan"
            )
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
