"""What may be looked at: the jobs, pages of runs, a run, its dead letters."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.admin import documents, openapi
from worker.admin.bearer import allowed_to_look
from worker.admin.listing import LATEST, about, bar, following
from worker.admin.pages import behind, key_token, place_token, wanted
from worker.admin.ports import Blocks, Carrier, Runs
from worker.admin.problems import answer
from worker.admin.starts import Starts, no_run
from worker.admin.tokens import Token
from worker.job import Job
from worker.runs import RunView

_RUN_ID = re.compile(r"([a-z0-9][a-z0-9_-]*):[A-Za-z0-9._:+~-]{1,128}(/[0-9]{1,6})?")


def run_named(request: Request) -> tuple[str, str]:
    """Give job and id of the run that the path names; raises Problem where no run is named so."""
    run_id = request.path_params["run_id"]
    match = _RUN_ID.fullmatch(run_id)
    if match is None:
        raise no_run(run_id)
    return match[1], run_id


class Looks:
    """Answer the requests that change nothing."""

    def __init__(
        self,
        jobs: Mapping[str, type[Job[Any]]],
        runs: Runs,
        starts: Starts,
        carrier: Carrier,
        blocks: Blocks,
        environ: Mapping[str, str] | None,
    ) -> None:
        self._jobs, self._runs, self._starts, self._carrier, self._blocks = jobs, runs, starts, carrier, blocks
        self._openapi = openapi.document(jobs)
        self._about = {name: about(job, environ) for name, job in jobs.items()}

    async def jobs(self, request: Request) -> Response:
        """List the jobs that the token shows, each with its last runs."""
        token: Token = request.state.token
        shown = {name: job for name, job in self._jobs.items() if token.rights.show(name)}
        if not shown:
            allowed_to_look(request)
        pages = await asyncio.gather(*(self._runs.page(name, None, None, LATEST) for name in shown))
        told = [
            {**self._about[name], "next": following(job, page.runs), "runs": [bar(run) for run in page.runs]}
            for (name, job), page in zip(shown.items(), pages, strict=True)
        ]
        return answer(HTTPStatus.OK, {"jobs": told, "token": {"name": token.name, "rights": token.rights.names}})

    async def runs(self, request: Request) -> Response:
        """Give a page of runs, newest first."""
        allowed_to_look(request, request.query_params.get("job"))
        asked = wanted(request, list(self._jobs))
        page = await self._runs.page(asked.job, asked.status, asked.before, asked.limit)
        listed = [documents.listed(run) for run in page.runs]
        return answer(HTTPStatus.OK, {"runs": listed, "next": place_token(page.next)})

    async def run(self, request: Request) -> Response:
        """Give a run."""
        job, run_id = run_named(request)
        allowed_to_look(request, job)
        view = await self._starts.look(run_id)
        if view is None:
            raise no_run(run_id)
        return answer(HTTPStatus.OK, self.document(view))

    async def letters(self, request: Request) -> Response:
        """Give a page of a run's dead letters, in the order of their keys."""
        job, run_id = run_named(request)
        allowed_to_look(request, job)
        after, limit = behind(request)
        found = await self._runs.dead_letters(run_id, limit, after)
        if not found and await self._starts.look(run_id) is None:
            raise no_run(run_id)
        more = key_token(found[-1].key) if len(found) == limit else None
        return answer(HTTPStatus.OK, {"letters": [documents.letter(each) for each in found], "next": more})

    async def openapi(self, request: Request) -> Response:
        """Give the OpenAPI document, to whoever has a token."""
        return answer(HTTPStatus.OK, self._openapi)

    def document(self, view: RunView) -> dict[str, Any]:
        """Give all that is known of a run."""
        limits = self._about[view.job]["limits"] if view.job in self._about else None
        return documents.whole(view, self._carrier.find(view.run_id), self._blocks, limits)
