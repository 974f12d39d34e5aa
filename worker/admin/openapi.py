"""The OpenAPI 3.1 document: every path with every answer, and each job's scope as its own schema."""

from collections.abc import Mapping
from typing import Any

import msgspec

from worker.admin.again import REPLAY, RESUME
from worker.admin.answers import Health, Jobs, Letters, ProblemDocument, Run, Runs
from worker.admin.asked import OPTIONS
from worker.admin.pages import MOST, STATUSES, USUAL
from worker.job import Job
from worker.registry import purpose

_REF = "#/components/schemas/{name}"
_ANSWERS = (Health, Jobs, Letters, ProblemDocument, Run, Runs)

_SAID: Mapping[int, str] = {
    200: "as it is asked for",
    202: "begun; Location says where to look",
    400: "the body is not a JSON object",
    401: "no token, one that is not known, or one that has expired",
    403: "the token's rights do not allow it",
    404: "no such job or run",
    408: "the body did not come in time",
    409: "another run is going on, or the run is not in a state for it: `run` names it",
    413: "the body is too large",
    415: "the body is not sent as application/json",
    422: "`errors` names everything that is wrong",
    429: "too many requests or starts: Retry-After",
    502: "the run could not start, or ECS refused: `errors` says why",
    503: "no further run can be started here now, or the run store is away: Retry-After",
}
_LOOK, _BODY = (401, 403, 429, 503), (400, 408, 413, 415, 422)

_RUN_KEY = "^[A-Za-z0-9._:+~-]{1,128}$"
_RUN_ID = {
    "name": "run_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*:[A-Za-z0-9._:+~-]{1,128}$"},
    "example": "poll-payments:2026-11-23T02:00:00Z",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "the run key, where the body does not say it",
    "schema": {"type": "string", "pattern": _RUN_KEY},
}


def document(jobs: Mapping[str, type[Job[Any]]], version: str = "1") -> dict[str, Any]:
    """Write the document for these jobs."""
    _, schemas = msgspec.json.schema_components(_ANSWERS, ref_template=_REF)
    paths = _looks() | _acts()
    for name, job in jobs.items():
        schemas |= _scope_of(job)
        paths[f"/admin/{name}"] = {"post": _start(name, job)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Start, watch and repair runs", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _looks() -> dict[str, Any]:
    limit = _query("limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL})
    pages = [
        _query("job", {"type": "string"}),
        _query("status", {"enum": list(STATUSES)}),
        _query("before", {"type": "string"}),
        limit,
    ]
    letters = [_RUN_ID, _query("after", {"type": "string"}), limit]
    health = {"security": [], "responses": _answers("Health", 200, 503)}
    return {
        "/healthz": {"get": {"summary": "whether the server lives", "operationId": "healthz", **health}},
        "/readyz": {"get": {"summary": "whether runs can be started", "operationId": "readyz", **health}},
        "/admin/openapi.json": {"get": _operation("this document", "openapi", None, 200, 401, 429)},
        "/admin/jobs": {"get": _operation("the jobs, each with its last runs", "jobs", "Jobs", 200, *_LOOK)},
        "/admin/runs": {"get": _operation("runs, newest first", "runs", "Runs", 200, *_LOOK, 422, parameters=pages)},
        "/admin/runs/{run_id}": {
            "get": _operation("a run", "run", "Run", 200, *_LOOK, 404, parameters=[_RUN_ID]),
        },
        "/admin/runs/{run_id}/dead-letters": {
            "get": _operation(
                "its failed records", "deadLetters", "Letters", 200, *_LOOK, 404, 422, parameters=letters
            ),
        },
    }


def _acts() -> dict[str, Any]:
    stop = _operation("stop a run", "stop", "Run", 202, *_LOOK, 404, 409, 502, parameters=[_RUN_ID])
    path = "/admin/runs/{run_id}"
    return {
        f"{path}/stop": {"post": stop},
        f"{path}/resume": {"post": _again("have a run go on", "resume", RESUME)},
        f"{path}/replay": {"post": _again("work on its dead letters again", "replay", REPLAY)},
    }


def _again(summary: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Describe what takes up a run; beside the options its body has the secret fields of the run's scope."""
    body = {"type": "object", "properties": _properties(options)}
    statuses = (200, 202, *_LOOK, *_BODY, 404, 409, 502)
    return _operation(summary, name, "Run", *statuses, parameters=[_RUN_ID], body=body)


def _start(name: str, job: type[Job[Any]]) -> dict[str, Any]:
    options = {"type": "object", "properties": _properties(OPTIONS)}
    body = {"allOf": [{"$ref": _REF.format(name=_scope_name(job))}, options], "unevaluatedProperties": False}
    statuses = (200, 202, *_LOOK, *_BODY, 409, 502)
    return _operation(
        purpose(job) or f"start {name}", f"start-{name}", "Run", *statuses, parameters=[_IDEMPOTENCY_KEY], body=body
    )


def _operation(
    summary: str,
    name: str,
    answer: str | None,
    *statuses: int,
    parameters: list[dict[str, Any]] | None = None,
    body: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    told: dict[str, Any] = {"summary": summary, "operationId": name, "responses": _answers(answer, *statuses)}
    if parameters:
        told["parameters"] = parameters
    if body:
        told["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return told


def _answers(answer: str | None, *statuses: int) -> dict[str, Any]:
    return {str(status): _answer(status, answer) for status in sorted(statuses)}


def _answer(status: int, answer: str | None) -> dict[str, Any]:
    if status >= 400:
        content = {"application/problem+json": {"schema": {"$ref": _REF.format(name=ProblemDocument.__name__)}}}
    else:
        schema = {"$ref": _REF.format(name=answer)} if answer else {"type": "object"}
        content = {"application/json": {"schema": schema}}
    return {"description": _SAID[status], "content": content}


def _query(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema}


def _properties(options: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: msgspec.json.schema(kind) for name, kind in options.items()}
    return known | ({"run_key": {**known["run_key"], "pattern": _RUN_KEY}} if "run_key" in known else {})


def _scope_name(job: type[Job[Any]]) -> str:
    return f"scope-of-{job.name}"


def _scope_of(job: type[Job[Any]]) -> dict[str, Any]:
    """Give the scope's schema under the job's name: two jobs may have a `Scope` of one name."""
    reference = f"{_scope_name(job)}.{{name}}"
    _, found = msgspec.json.schema_components([job.Scope], ref_template=_REF.format(name=reference))
    own = found.pop(job.Scope.__name__)
    own.pop("additionalProperties", None)  # what stands beside the fields is said where they are used
    return {_scope_name(job): own, **{reference.format(name=name): schema for name, schema in found.items()}}
