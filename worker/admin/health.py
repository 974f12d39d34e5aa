"""Whether the server lives, and whether it is ready: asked by load balancers, without a token, told in one word."""

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from worker.admin.ports import Carrier, Runs
from worker.admin.problems import Problem, answer


class Health:
    """Answer /healthz and /readyz."""

    def __init__(self, runs: Runs, carrier: Carrier) -> None:
        self._runs, self._carrier = runs, carrier

    def routes(self) -> list[Route]:
        """Give the two paths."""
        return [Route("/healthz", self.alive, methods=["GET"]), Route("/readyz", self.ready, methods=["GET"])]

    async def alive(self, request: Request) -> Response:
        """Say that requests are answered."""
        return answer(HTTPStatus.OK, {"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Say that runs can be started; raises Problem, or what the run store raises, where they cannot."""
        if self._carrier.closing.is_set():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "this server is being stopped", headers={"Retry-After": "10"})
        await self._runs.scope_hash("readyz:probe")
        return answer(HTTPStatus.OK, {"status": "ready"})
