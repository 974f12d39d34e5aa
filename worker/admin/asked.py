"""What a caller asks for: read from the request's body, and checked by the job's own model."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request

from worker import run_key
from worker.admin.problems import Problem
from worker.claim import Selection, lease_of
from worker.errors import Faults
from worker.job import Job
from worker.scope import RESERVED, Scope, parse, variables

_LARGEST = 64 * 1024
_SLOWEST_S = 10.0
LONGEST_WAIT_S = 3600.0

T = TypeVar("T")

OPTIONS: dict[str, Any] = {
    "dry_run": bool,
    "max_records": Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None,
    "max_affected": Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None,
    "run_key": str | None,
    "wait": bool | Annotated[float, msgspec.Meta(ge=0, le=LONGEST_WAIT_S)],
}
assert tuple(OPTIONS) == RESERVED


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A run to start: which, over what, and how long its caller waits for its end."""

    job: type[Job[Any]]
    run_key: str
    scope: Scope
    variables: dict[str, str] = field(repr=False)
    """The scope as a child process gets it."""
    dry_run: bool = False
    max_records: int | None = None
    max_affected: int | None = None
    replay: Selection | None = None
    """Work on these dead letters of the run, and on nothing else."""
    shards: int | None = None
    """How many parts the run was divided into, if it was."""
    wait_s: float = 0.0
    started_by: str | None = None
    """Who asks: the name of the token."""
    correlation_id: str | None = None
    """The name of the request."""

    @property
    def run_id(self) -> str:
        """Give the run's name everywhere: `job:run-key`."""
        return f"{self.job.name}:{self.run_key}"

    @property
    def lease(self) -> str:
        """Name what only one run may hold at a time."""
        return lease_of(self.job.name, self.scope if self.job.one_per_scope else None, dry_run=self.dry_run)


async def read(request: Request, job: type[Job[Any]]) -> Asked:
    """Read what the request asks of a job; raises Problem naming everything that is wrong with it."""
    return asked(job, await values_of(request), request.headers.get("idempotency-key"))


async def values_of(request: Request) -> dict[str, Any]:
    """Read a body: a JSON object, or nothing. Raises Problem."""
    return _decoded(await _body(request))


def asked(job: type[Job[Any]], values: Mapping[str, Any], header_key: str | None = None) -> Asked:
    """Check the values of a body, and the key of the header, against the job; raises Problem with all faults."""
    faults = unknown(values, [*_fields(job.Scope), *OPTIONS])
    options = {name: tried(faults, option, name, values[name], OPTIONS[name]) for name in OPTIONS if name in values}
    if options.get("max_affected") and job.write is None:
        faults.append(f"max_affected={options['max_affected']}: {job.name} writes no results that could be counted")
    key = tried(faults, _key, options, header_key)
    scope = tried(faults, parse, job.Scope, {name: values[name] for name in _fields(job.Scope) if name in values})
    texts = tried(faults, variables, scope) if scope is not None else None
    if faults or scope is None or texts is None or key is None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{job.name} cannot be started like this", errors=faults)
    return Asked(
        job=job,
        run_key=key,
        scope=scope,
        variables=texts,
        dry_run=bool(options.get("dry_run")),
        max_records=options.get("max_records"),
        max_affected=options.get("max_affected"),
        wait_s=seconds(options.get("wait") or False),
    )


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(_SLOWEST_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > _LARGEST:
                    raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {_LARGEST:,} bytes")
    except TimeoutError as error:
        detail = f"the body was not here within {_SLOWEST_S:g} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, headers={"Connection": "close"}) from error
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        detail = f"the body is {kind or 'of no stated type'}: send Content-Type: application/json"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept-Post": "application/json"})
    return body


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        values = msgspec.json.decode(body or b"{}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from error
    if not isinstance(values, dict):
        detail = 'the body is not a JSON object: {"merchant_id": 42, "dry_run": true}'
        raise Problem(HTTPStatus.BAD_REQUEST, detail)
    return values


def tried(faults: list[str], check: Callable[..., T], *values: Any) -> T | None:
    """Give what a check gives, or note its faults: they are answered all at once."""
    try:
        return check(*values)
    except Faults as error:
        faults.extend(error.faults)
        return None


def option(name: str, value: Any, kind: Any) -> Any:
    """Check a value beside the scope. Raises Faults."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise Faults([f"{name}={value!r}: {str(error)[:1].lower()}{str(error)[1:]}"]) from error


def _key(options: Mapping[str, Any], in_header: str | None) -> str:
    in_body = options.get("run_key")
    if in_body is not None and in_header is not None and in_body != in_header:
        raise Faults([f"run_key={in_body!r} and the header Idempotency-Key={in_header!r} name two runs: send one"])
    given = in_body if in_body is not None else in_header
    return run_key.choose(given, dry_run=bool(options.get("dry_run")), max_records=options.get("max_records"))


def unknown(values: Mapping[str, Any], known: list[str]) -> list[str]:
    """Name the values that mean nothing, each with what it might have been."""
    found = [(name, get_close_matches(name, known, 1)) for name in values if name not in known]
    return [
        f"no field {name[:100]!r}; did you mean {near[0]!r}?"
        if near
        else f"no field {name[:100]!r}; there are {', '.join(known)}"
        for name, near in found
    ]


def _fields(model: type[Scope]) -> list[str]:
    return [known.name for known in msgspec.structs.fields(model)]


def seconds(wait: bool | float) -> float:
    """Say in seconds how long is waited: an hour where it is only said that it is."""
    return (LONGEST_WAIT_S if wait else 0.0) if isinstance(wait, bool) else wait
