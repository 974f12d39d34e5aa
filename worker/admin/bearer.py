"""Let nobody in without a token, and nobody do what their token does not allow: the one gate before everything below /admin."""

import logging
from http import HTTPStatus

from aiolimiter import AsyncLimiter
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from worker.admin.problems import Problem
from worker.admin.rights import READ
from worker.admin.tokens import Token, Tokens

_log = logging.getLogger("worker.admin")
_REALM = 'Bearer realm="admin"'


class Bearer:
    """Ask each request for a bearer token (RFC 6750) and note it as `request.state.token`."""

    def __init__(self, app: ASGIApp, tokens: Tokens, requests_a_second: int) -> None:
        self._app = app
        self._tokens = tokens
        # Leaky buckets: they guard the server, no promise hangs on them.
        self._permits = {token.name: AsyncLimiter(requests_a_second, 1) for token in tokens.all}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request on, or raise Problem where nobody's token is in it, or one that is over."""
        request = Request(scope)
        kind, _, presented = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not presented.strip():
            raise _unknown(request, "send the header Authorization: Bearer <token>", _REALM)
        token = self._tokens.verify(presented.strip())
        if token is None:
            raise _unknown(request, "this token is not known", f'{_REALM}, error="invalid_token"')
        if token.expired:
            detail = f"this token expired on {token.expires}: `python -m worker token new` makes another"
            raise _unknown(request, detail, f'{_REALM}, error="invalid_token"')
        permits = self._permits[token.name]
        if not permits.has_capacity():
            detail = f"{permits.max_rate:g} requests a second are allowed for each token"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": "1"})
        await permits.acquire()
        request.state.token = token
        await self._app(scope, receive, send)


def allowed(request: Request, action: str, job: str) -> None:
    """Raise Problem where the token does not allow this action on this job."""
    token: Token = request.state.token
    if not token.rights.allow(action, job):
        raise _forbidden(request, f"{action}:{job}")


def allowed_to_look(request: Request, job: str | None = None) -> None:
    """Raise Problem where the token allows a look neither at everything nor at this job."""
    token: Token = request.state.token
    if READ not in token.rights.names and not (job and token.rights.show(job)):
        raise _forbidden(request, READ)


def _forbidden(request: Request, right: str) -> Problem:
    token: Token = request.state.token
    detail = f"token {token.name!r} may not: it lacks the right {right}; it has {', '.join(token.rights.names)}"
    _tell(request, detail)
    return Problem(HTTPStatus.FORBIDDEN, detail, headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope"'})


def _unknown(request: Request, detail: str, challenge: str) -> Problem:
    _tell(request, detail)
    return Problem(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenge})


def _tell(request: Request, reason: str) -> None:
    client = request.client.host if request.client else None
    fields = {"reason": reason, "method": request.method, "path": request.url.path, "client": client}
    _log.warning("request refused", extra={**fields, "request_id": getattr(request.state, "request_id", None)})
