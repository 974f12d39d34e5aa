"""The API's paths: POST /admin/<job> starts a run, GET /admin/runs/<id> tells of it."""

import logging
from collections.abc import Mapping
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from worker.admin.asked import Asked, read
from worker.admin.assets import console
from worker.admin.bearer import Bearer
from worker.admin.ports import Carrier, Runs
from worker.admin.problems import Problem, answer, away, broken, problem, refused
from worker.admin.starts import Starts, document
from worker.admin.tokens import Tokens
from worker.errors import DatabaseAway, Faults, Transient
from worker.job import Job
from worker.runs import RunView
from worker.scope import RESERVED, shown
from worker.verdict import Verdict

_log = logging.getLogger("worker.admin")


def app(
    jobs: Mapping[str, type[Job[Any]]], runs: Runs, children: Carrier, tokens: Tokens, *, starts_a_minute: int = 30
) -> Starlette:
    """Build the API over these jobs; raises Faults where a job's scope has a field that the API keeps for itself."""
    _check(jobs)
    paths = _Paths(jobs, Starts(runs, children, starts_a_minute))
    router = Router(
        [Route("/runs/{run_id}", paths.run, methods=["GET"]), Route("/{job}", paths.start, methods=["POST"])],
        redirect_slashes=False,
    )
    application = Starlette(
        routes=[Mount("/admin", Bearer(router, tokens)), *console()],
        exception_handlers={
            Problem: problem,
            HTTPException: refused,
            Transient: away,
            DatabaseAway: away,
            Exception: broken,
        },
    )
    application.router.redirect_slashes = False
    return application


class _Paths:
    """Answer the requests that were let in."""

    def __init__(self, jobs: Mapping[str, type[Job[Any]]], starts: Starts) -> None:
        self._jobs = jobs
        self._starts = starts

    async def start(self, request: Request) -> Response:
        asked = await read(request, self._job(request.path_params["job"]))
        known = await self._starts.start(asked)
        if known is None:
            _audit(request, asked)
        view = await self._starts.wait(asked.run_id, asked.wait_s) if asked.wait_s or known is None else known
        assert view is not None, "what was started here is known here"
        if known is not None or not view.live:
            _refuse_failed_start(view)
            return answer(HTTPStatus.OK, document(view))
        return answer(HTTPStatus.ACCEPTED, document(view), {"Location": _location(request, view)})

    async def run(self, request: Request) -> Response:
        run_id = request.path_params["run_id"]
        view = await self._starts.look(run_id)
        if view is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"no run {run_id!r}; a run's id is <job>:<run key>")
        return answer(HTTPStatus.OK, document(view))

    def _job(self, name: str) -> type[Job[Any]]:
        if name in self._jobs:
            return self._jobs[name]
        near = get_close_matches(name, self._jobs, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self._jobs)) or 'none'}"
        raise Problem(HTTPStatus.NOT_FOUND, f"no job {name!r}; {hint}")


def _refuse_failed_start(view: RunView) -> None:
    """Say what became of the start where it came to nothing: another run was faster, or the attempt could not begin."""
    if view.status == Verdict.OVERLAPPED.word:
        raise Problem(HTTPStatus.CONFLICT, view.detail or Verdict.OVERLAPPED.meaning, run=document(view))
    if view.status == Verdict.NOT_STARTED.word:
        detail = f"{view.run_id} could not start"
        raise Problem(HTTPStatus.BAD_GATEWAY, detail, errors=view.faults, run=document(view))


def _audit(request: Request, asked: Asked) -> None:
    fields = {
        "token": request.state.token,
        "job": asked.job.name,
        "run_id": asked.run_id,
        "scope": shown(asked.scope),
        "dry_run": asked.dry_run,
        "max_records": asked.max_records,
    }
    _log.info("run started by request", extra=fields)


def _location(request: Request, view: RunView) -> str:
    return f"{request.scope['root_path']}/runs/{quote(view.run_id, safe=':+~')}"


def _check(jobs: Mapping[str, type[Job[Any]]]) -> None:
    faults = [
        f"job {name!r}: its scope has a field {field!r}, which means something else in a request: name it otherwise"
        for name, job in jobs.items()
        for field in job.Scope.__struct_fields__
        if field in RESERVED
    ]
    if faults:
        raise Faults(faults)
