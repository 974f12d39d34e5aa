"""Every answer of the API: JSON, problem+json (RFC 9457) for what went wrong, and the headers that keep browsers honest."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_log = logging.getLogger("worker.admin")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Problem(Exception):
    """What is wrong with a request, or keeps it from being done; `errors` names every fault, `run` the run concerned."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        errors: Sequence[str] = (),
        run: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.run = run
        self.headers = dict(headers or {})


def answer(
    status: HTTPStatus, document: Any, headers: Mapping[str, str] | None = None, media: str = "application/json"
) -> Response:
    """Give a JSON response with the security headers."""
    return Response(msgspec.json.encode(document), status, {**_HEADERS, **(headers or {})}, media)


async def problem(request: Request, error: Exception) -> Response:
    """Answer with the problem that was raised."""
    assert isinstance(error, Problem)
    document: dict[str, Any] = {"title": error.status.phrase, "status": error.status.value, "detail": error.detail}
    if error.errors:
        document["errors"] = [{"detail": detail} for detail in error.errors]
    if error.run is not None:
        document["run"] = error.run
    return answer(error.status, document, error.headers, "application/problem+json")


async def refused(request: Request, error: Exception) -> Response:
    """Answer what the routing refused: no such path, no such method."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = f"{request.method} {request.url.path} is not served here: GET /admin/openapi.json says what is"
    return await problem(request, Problem(status, detail, headers=error.headers))


async def away(request: Request, error: Exception) -> Response:
    """Answer that the run store cannot be asked now."""
    detail = "the run store cannot be reached"
    return await problem(request, Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "10"}))


async def unusable(request: Request, error: Exception) -> Response:
    """Answer that the run store refuses, or lacks its schema; which of them stands in the log alone."""
    _log.error("run store cannot be used", extra={"reason": str(error), "request_id": request.state.request_id})
    detail = "the run store refuses this server, or its schema is not there (python -m worker migrate makes it): the log says which"
    return await problem(request, Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": "60"}))


async def broken(request: Request, error: Exception) -> Response:
    """Answer that the fault is on this side; what it is stands in the log alone."""
    return await problem(request, Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed; its log says why"))
