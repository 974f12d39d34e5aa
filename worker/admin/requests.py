"""One name for each request: in our log, in the answer, and in the run that it starts."""

import logging
import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("worker.admin")
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


class Named:
    """Take the caller's X-Request-Id where it is sane, else make one; note it as `request.state.request_id`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, and put its name into the answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if _SANE.fullmatch(given) else f"req-{secrets.token_hex(8)}"
        scope.setdefault("state", {})["request_id"] = name

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:  # noqa: BLE001 - answered already, by a problem that tells nothing of it
            _log.exception("request failed", extra={"request_id": name, "path": scope["path"]})
