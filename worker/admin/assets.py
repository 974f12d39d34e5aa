"""Serve the console's files under /console: they hold no data, so nobody asks for a token here."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOLDER = Path(__file__).with_name("console")

HEADERS = {
    "Cache-Control": "no-cache",  # ask each time, for a 304: a new release is seen at once
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def console() -> list[BaseRoute]:
    """Give the routes of the console."""
    return [Route("/", _inside), Route("/console", _inside), Mount("/console", _Files(directory=_FOLDER))]


class _Files(StaticFiles):
    """Files with the headers that keep a page honest: its own scripts and styles, from here, and nothing else."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response("index.html" if path == "." else path, scope)
        response.headers.update(HEADERS)
        return response


async def _inside(request: Request) -> Response:
    # Relative: where this application is mounted, and behind which proxy, is not known here.
    return RedirectResponse("console/")
