"""What may be done: start a run, stop it, have it go on, replay its dead letters; each is audited with who did it."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from worker.admin.again import replayed, resumed
from worker.admin.asked import Asked, read, values_of
from worker.admin.bearer import allowed
from worker.admin.documents import listed
from worker.admin.looks import Looks, run_named
from worker.admin.ports import Carrier
from worker.admin.problems import Problem, answer
from worker.admin.rights import READ
from worker.admin.starts import Starts, no_run
from worker.errors import Permanent
from worker.job import Job
from worker.runs import RunView
from worker.scope import shown
from worker.verdict import Verdict

_log = logging.getLogger("worker.admin")


class Acts:
    """Answer the requests that change something."""

    def __init__(self, jobs: Mapping[str, type[Job[Any]]], starts: Starts, carrier: Carrier, looks: Looks) -> None:
        self._jobs, self._starts, self._carrier, self._looks = jobs, starts, carrier, looks

    async def start(self, request: Request) -> Response:
        """Start a run; or give the same run, going on or finished."""
        name = request.path_params["job"]
        if READ in request.state.token.rights.names:
            self._job(name)  # who sees all jobs is told of a name that is none, not of a right to it
        allowed(request, "start", name)
        asked = _signed(request, await read(request, self._job(name)))
        known = await self._starts.start(asked)
        if known is None:
            _audit(request, "run started by request", asked)
        return await self._answer(request, asked, known)

    async def resume(self, request: Request) -> Response:
        """Have a run go on that was cut short."""
        return await self._again(request, "start", resumed, "run resumed by request")

    async def replay(self, request: Request) -> Response:
        """Work on a run's dead letters again."""
        return await self._again(request, "replay", replayed, "dead letters replayed by request")

    async def stop(self, request: Request) -> Response:
        """Ask a run to stop: it saves its cursor and ends as interrupted."""
        job, run_id = run_named(request)
        allowed(request, "stop", job)
        view = await self._starts.look(run_id)
        if view is None:
            raise no_run(run_id)
        if not view.live:
            raise Problem(HTTPStatus.CONFLICT, f"{run_id} is not going on: it is {view.status}", run=listed(view))
        if not await self._stopped(view):
            last = view.attempts[-1] if view.attempts else None
            where = (last.task_arn or last.host) if last else ""
            detail = f"{run_id} goes on elsewhere{f', on {where}' if where else ''}: it can only be stopped there"
            raise Problem(HTTPStatus.CONFLICT, detail, run=listed(view))
        fields = {"run_id": run_id, "job": job, "scope": view.scope, **_who(request)}
        _log.info("run stopped by request", extra=fields)
        return answer(HTTPStatus.ACCEPTED, self._looks.document(view), {"Location": _location(request, run_id)})

    async def _stopped(self, view: RunView) -> bool:
        try:
            return await self._carrier.stop(view)
        except Permanent as error:
            raise Problem(
                HTTPStatus.BAD_GATEWAY, f"{view.run_id} could not be stopped: {error}", run=listed(view)
            ) from error

    async def _again(self, request: Request, right: str, take_up: Callable[..., Asked], event: str) -> Response:
        name, run_id = run_named(request)
        allowed(request, right, name)
        job, values = self._job(name), await values_of(request)

        def ask(run: RunView, scope_hash: str | None) -> Asked:
            return _signed(request, take_up(job, run, scope_hash, values))

        asked = await self._starts.again(name, run_id, ask)
        _audit(request, event, asked)
        return await self._answer(request, asked, None)

    async def _answer(self, request: Request, asked: Asked, known: RunView | None) -> Response:
        """Say how the run stands, once it has ended if that is waited for."""
        if known is not None and not (known.live and asked.wait_s):
            return answer(HTTPStatus.OK, self._looks.document(known))
        view = await self._starts.wait(asked.run_id, asked.wait_s)
        assert view is not None, "what was started here is known here"
        if known is None and view.live:
            place = {"Location": _location(request, view.run_id)}
            return answer(HTTPStatus.ACCEPTED, self._looks.document(view), place)
        _refuse_failed_start(view)
        return answer(HTTPStatus.OK, self._looks.document(view))

    def _job(self, name: str) -> type[Job[Any]]:
        if name in self._jobs:
            return self._jobs[name]
        near = get_close_matches(name, self._jobs, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self._jobs)) or 'none'}"
        raise Problem(HTTPStatus.NOT_FOUND, f"no job {name[:200]!r}; {hint}")


def _refuse_failed_start(view: RunView) -> None:
    """Say what became of the start where it came to nothing: another run was faster, or the attempt could not begin."""
    if view.status == Verdict.OVERLAPPED.word:
        raise Problem(HTTPStatus.CONFLICT, view.detail or Verdict.OVERLAPPED.meaning, run=listed(view))
    if view.status == Verdict.NOT_STARTED.word or view.faults:
        detail = f"{view.run_id} could not start"
        raise Problem(HTTPStatus.BAD_GATEWAY, detail, errors=view.faults, run=listed(view))


def _signed(request: Request, asked: Asked) -> Asked:
    """Note who asks, and by which request: the run's own log says so."""
    return replace(asked, started_by=f"admin:{request.state.token.name}", correlation_id=request.state.request_id)


def _audit(request: Request, event: str, asked: Asked) -> None:
    fields = {
        "job": asked.job.name,
        "run_id": asked.run_id,
        "scope": shown(asked.scope),
        "dry_run": asked.dry_run,
        "max_records": asked.max_records,
        "max_affected": asked.max_affected,
        "error": asked.replay and asked.replay.error,
        "key": asked.replay and asked.replay.key,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    _log.info(event, extra={**told, **_who(request)})


def _who(request: Request) -> dict[str, Any]:
    client = request.client.host if request.client else None
    return {"token": request.state.token.name, "client": client, "request_id": request.state.request_id}


def _location(request: Request, run_id: str) -> str:
    return f"{request.scope['root_path']}/runs/{quote(run_id, safe=':+~/')}"
