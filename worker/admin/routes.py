"""The API's paths below /admin, and who answers them."""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp

from worker.admin.acts import Acts
from worker.admin.assets import console
from worker.admin.bearer import Bearer
from worker.admin.health import Health
from worker.admin.looks import Looks
from worker.admin.ports import Blocks, Carrier, Runs
from worker.admin.problems import Problem, away, broken, problem, refused, unusable
from worker.admin.requests import Named
from worker.admin.starts import Starts
from worker.admin.tokens import Tokens
from worker.errors import DatabaseAway, Faults, Permanent, Transient
from worker.job import Job
from worker.scope import RESERVED


def app(
    jobs: Mapping[str, type[Job[Any]]],
    runs: Runs,
    carrier: Carrier,
    tokens: Tokens,
    *,
    blocks: Blocks = lambda summary: [],
    environ: Mapping[str, str] | None = None,
    starts_a_minute: int = 30,
    requests_a_second: int = 300,
) -> ASGIApp:
    """Build the API over these jobs; raises Faults where a job's scope has a field that the API keeps for itself.

    `environ` is what runs get of this server's environment: what a job lacks there is said of it.
    """
    _check(jobs)
    starts = Starts(runs, carrier, starts_a_minute)
    looks = Looks(jobs, runs, starts, carrier, blocks, environ)
    gate = Bearer(behind_the_gate(looks, Acts(jobs, starts, carrier, looks)), tokens, requests_a_second)
    application = Starlette(
        routes=[Mount("/admin", gate), *Health(runs, carrier).routes(), *console()],
        exception_handlers={
            Problem: problem,
            HTTPException: refused,
            Transient: away,
            DatabaseAway: away,
            Faults: unusable,
            Permanent: unusable,
            Exception: broken,
        },
    )
    application.router.redirect_slashes = False
    return Named(application)


def behind_the_gate(looks: Looks, acts: Acts) -> Router:
    """Give the paths below /admin."""
    run = "/runs/{run_id:path}"
    routes = [
        Route("/openapi.json", looks.openapi, methods=["GET"]),
        Route("/jobs", looks.jobs, methods=["GET"]),
        Route("/runs", looks.runs, methods=["GET"]),
        Route(f"{run}/stop", acts.stop, methods=["POST"]),
        Route(f"{run}/resume", acts.resume, methods=["POST"]),
        Route(f"{run}/replay", acts.replay, methods=["POST"]),
        Route(f"{run}/dead-letters", looks.letters, methods=["GET"]),
        Route(run, looks.run, methods=["GET"]),
        Route("/{job}", acts.start, methods=["POST"]),
    ]
    return Router(routes, redirect_slashes=False)


def _check(jobs: Mapping[str, type[Job[Any]]]) -> None:
    faults = [
        f"job {name!r}: its scope has a field {field!r}, which means something else in a request: name it otherwise"
        for name, job in jobs.items()
        for field in job.Scope.__struct_fields__
        if field in RESERVED
    ]
    if faults:
        raise Faults(faults)
