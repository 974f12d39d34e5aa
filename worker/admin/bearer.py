"""Let nobody in without a token: the one gate before everything below /admin."""

import logging
from http import HTTPStatus

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.admin.problems import Problem
from worker.admin.tokens import Tokens

_log = logging.getLogger("worker.admin")


class Bearer:
    """Ask each request for a bearer token (RFC 6750) and note its name as `request.state.token`."""

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or raise Problem where nobody's token is in it."""
        request = Request(scope)
        kind, _, presented = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not presented.strip():
            raise _refused(request, "send the header Authorization: Bearer <token>", 'Bearer realm="admin"')
        token = self._tokens.verify(presented.strip())
        if token is None:
            raise _refused(request, "this token is not known", 'Bearer realm="admin", error="invalid_token"')
        request.state.token = token.name
        await self._app(scope, receive, send)


def _refused(request: Request, detail: str, challenge: str) -> Problem:
    client = request.client.host if request.client else None
    fields = {"reason": detail, "method": request.method, "path": request.url.path, "client": client}
    _log.warning("request refused", extra=fields)
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})
