"""What the launcher is asked for: one run to start, said in plain JSON, and checked by the job's own model.

::

    {"job": "poll-payments", "run_key": "2026-11-23T02:00:00Z", "scope": {"merchant_id": 42}, "trigger": "scheduler"}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec

from worker import run_key
from worker.errors import Faults
from worker.job import Job
from worker.scope import Scope, encode, parse, variables
from worker.shards import Shard

T = TypeVar("T")

Trigger = Literal["scheduler", "rule", "s3", "sqs", "backlog", "hand", "admin", "resume", "pipeline"]
"""What starts a run."""

MEANT = ("hand", "admin", "pipeline")
"""Triggers by which somebody means it: a run that was begun before and has not succeeded is started again."""

FIELDS: Mapping[str, Any] = {
    "job": str,
    "run_key": str | None,
    "scope": dict[str, Any],
    "scope_ref": str | None,
    "trigger": Trigger,
    "scheduled_time": str | None,
    "started_by": str | None,
    "dry_run": bool,
    "max_records": Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None,
    "max_affected": Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None,
    "shard": str | None,
    "backlog": bool,
    "after": Annotated[int, msgspec.Meta(ge=1)] | None,
    "revision": Annotated[int, msgspec.Meta(ge=1)] | None,
}
"""The fields of a request and their types."""

_KINDS: Mapping[str, str] = {
    "scope": "an object of scope fields",
    "trigger": f"one of {', '.join(get_args(Trigger))}",
    "dry_run": "true or false",
    "backlog": "true or false",
    "max_records": "a whole number of 1 or more",
    "max_affected": "a whole number of 1 or more",
    "after": "a whole number of 1 or more",
    "revision": "a whole number of 1 or more",
}
_LONGEST = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A run to start: of which job, under which key, over what, and why."""

    job: type[Job[Any]]
    run_key: str
    scope: Scope
    scope_ref: str | None = None
    """Where the scope was read from (`s3://bucket/key`), and where the task will read it."""
    trigger: Trigger = "hand"
    scheduled_time: str | None = None
    started_by: str | None = None
    dry_run: bool = False
    max_records: int | None = None
    max_affected: int | None = None
    shard: str | None = None
    backlog: bool = False
    """Start as many tasks as the backlog of the job's queue needs."""
    after: int | None = None
    """The number of the launch that this one follows: once there is a later one, it starts nothing."""
    revision: int | None = None
    """Of its task definition: a run that goes on does so with the code that it began with. None: the newest."""

    @property
    def run_id(self) -> str:
        """Give the run's name everywhere: `job:run-key`."""
        return f"{self.job.name}:{self.run_key}"

    def referring(self, scope_ref: str) -> "Request":
        """Give the same request, with its scope at that place."""
        return replace(self, scope_ref=scope_ref)

    def values(self) -> dict[str, Any]:
        """Give what `read` reads; a scope that is kept elsewhere by its reference alone, for it may be large or secret."""
        kept = {name: getattr(self, name) for name in FIELDS if name not in ("job", "scope", "backlog", "after")}
        scope = {} if self.scope_ref else {"scope": encode(self.scope)}
        return {"job": self.job.name, **scope, **{name: value for name, value in kept.items() if value}}


def read(values: Any, load: Callable[[str], type[Job[Any]]], key: str | None = None) -> Request:
    """Check a request against its job; `key` names the run where the request does not. Raises Faults: all that is wrong.

    The scope of a request with `scope_ref` is to be put in its place before.
    """
    if not isinstance(values, Mapping):
        raise Faults([f'a request is a JSON object, {{"job": "…", "scope": {{…}}}}, not {values!r:.100}'])
    sound(values)
    faults = [_unknown(name) for name in values if name not in FIELDS]
    given = {name: _tried(faults, _field, name, values[name]) for name in FIELDS if name in values}
    if values.get("job", "") == "":
        faults.append("job is missing: say which job is to be started")
    job = _tried(faults, load, given["job"]) if given.get("job") else None
    scope = _tried(faults, _scope, job, given.get("scope") or {}) if job else None
    chosen = _tried(faults, _run_key, given, key)
    _check(given, faults)
    if faults or job is None or scope is None or chosen is None:
        raise Faults(faults)
    rest = {name: value for name, value in given.items() if name not in ("job", "scope", "run_key") and value}
    return Request(job=job, run_key=chosen, scope=scope, **rest)


def sound(values: Any) -> None:
    """Raise Faults for what nothing can carry, neither to the run store nor to a task: half a character, a nest without end."""
    try:
        msgspec.json.encode(values)
    except UnicodeEncodeError as error:
        raise Faults(
            [f"what asks for a run holds half a character ({error.object[error.start]!r}), which is no text"]
        ) from error
    except RecursionError as error:
        raise Faults(["what asks for a run is nested deeper than any scope"]) from error


def _field(name: str, value: Any) -> Any:
    try:
        return msgspec.convert(value, FIELDS[name])
    except msgspec.ValidationError as error:
        raise Faults([f"{name}={value!r:.100} is not {_KINDS.get(name, 'a text')}"]) from error


def _scope(job: type[Job[Any]], fields: Mapping[str, Any]) -> Scope:
    """Build the scope; a value that the task's environment could not carry is wrong here already."""
    scope = parse(job.Scope, fields)
    variables(scope)
    return scope


def _run_key(given: Mapping[str, Any], key: str | None) -> str:
    """Give the run its key: the one that is said, else the time that it was scheduled for, else the door's."""
    said = given.get("run_key") or given.get("scheduled_time") or key
    return run_key.choose(said, dry_run=bool(given.get("dry_run")), max_records=given.get("max_records"))


def _check(given: dict[str, Any], faults: list[str]) -> None:
    if any("<aws.scheduler." in (given.get(name) or "") for name in ("run_key", "scheduled_time")):
        faults.append("Scheduler fills in <aws.scheduler.scheduled-time> in a schedule's Input alone, spelled just so")
    if (time := given.get("scheduled_time")) and not _is_time(time):
        faults.append(f"scheduled_time={time!r:.100} is no time such as 2026-11-23T02:00:00Z")
    if shard := given.get("shard"):
        given["shard"] = _tried(faults, _shard, shard, given)
    if (who := given.get("started_by")) and (len(who) > _LONGEST or not who.isprintable()):
        faults.append(f"started_by={who!r:.100} is not up to {_LONGEST} printable characters")


def _shard(text: str, given: Mapping[str, Any]) -> str:
    """Write the shard as one does: 07/8 and 7/8 are one task."""
    key, dry_run = given.get("run_key") or given.get("scheduled_time"), bool(given.get("dry_run"))
    return str(Shard.asked(text, key, dry_run=dry_run, max_records=given.get("max_records")))


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _tried(faults: list[str], check: Callable[..., T], *values: Any) -> T | None:
    """Give what a check gives, or note its faults: they are answered all at once."""
    try:
        return check(*values)
    except Faults as error:
        faults.extend(error.faults)
        return None


def _unknown(name: Any) -> str:
    near = get_close_matches(str(name), FIELDS, 1)
    hint = (
        f"did you mean {near[0]!r}?" if near else f"there are {', '.join(FIELDS)}; what narrows the run goes into scope"
    )
    return f"a request has no field {str(name)[:100]!r}; {hint}"
