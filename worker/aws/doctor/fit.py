"""Find where a job and its task definition disagree."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.aws.definition import Definition, environment_of, is_known, place, worker_of
from worker.aws.definition_faults import LONGEST_STOP, is_secret, plain_secret
from worker.aws.doctor import codes
from worker.aws.doctor.finding import Finding
from worker.environment import VARIABLES, settings
from worker.errors import Faults
from worker.job import Job
from worker.scope import variable
from worker.stop import StopPlan

_KNOWN = {known.name for known in VARIABLES}
_LIBRARIES = ("AWS_", "DD_", "PYTHON")
"""What variables of the libraries begin with."""


def misfits(definition: Definition, job: type[Job[Any]]) -> Iterator[Finding]:
    """Say where a task definition, sound by itself, does not do for its job."""
    worker = worker_of(definition)
    plain, secret = environment_of(worker), {each["name"] for each in worker.get("secrets", ())}
    yield from _names(definition, worker, plain, job.name)
    yield from _given(worker, plain, secret, job)
    yield from _store(worker, {*plain, *secret}, job)
    yield from _unknown(worker, {*plain, *secret}, job)
    yield from _settings(worker, plain, job)
    yield from _groups(definition, job.name)
    yield from _drain(worker, job)


def _names(definition: Definition, worker: Mapping[str, Any], plain: Mapping[str, str], name: str) -> Iterator[Finding]:
    command = worker.get("command", [])
    for path, found, line in (
        ("family", definition.get("family"), f'"family": "{name}"'),
        (place(worker, "command"), " ".join(command[:1]), f'"command": ["{name}"]'),
        (place(worker, "environment", "DD_SERVICE"), plain.get("DD_SERVICE", name), f'"value": "{name}"'),
    ):
        if found != name:
            yield codes.NAME_DISAGREES.at(path, f"is {found!r}, the job is {name!r}", line)


def _given(
    worker: Mapping[str, Any], plain: Mapping[str, str], secret: set[str], job: type[Job[Any]]
) -> Iterator[Finding]:
    for name in job.secrets:
        if name in plain:
            if not is_secret(name, plain[name]):  # that is found without its job
                yield plain_secret(worker, name)
        elif name not in secret:
            line = f'{{"name": "{name}", "valueFrom": "${{{name}_ARN}}"}}'
            yield codes.SECRET_NOT_GIVEN.at(
                place(worker, "secrets"), f"{name} is not there, and the job needs it", line
            )
    for name, default in job.environment.items():
        if default is None and name not in {*plain, *secret}:
            line = f'{{"name": "{name}", "value": "${{{name}}}"}}'
            yield codes.VARIABLE_NOT_GIVEN.at(
                place(worker, "environment"), f"{name} is not there, and the job needs it", line
            )


def _store(worker: Mapping[str, Any], given: set[str], job: type[Job[Any]]) -> Iterator[Finding]:
    line = '{"name": "DATABASE_URL", "valueFrom": "${DATABASE_URL_ARN}"}'
    if not given & {"DATABASE_URL", "RUN_TABLE"}:
        what = "neither DATABASE_URL nor RUN_TABLE is there"
        yield codes.NO_RUN_STORE.at(place(worker, "secrets"), what, line)
    elif "DATABASE_URL" not in given and job.write is not None and not job.idempotent:
        what = "DATABASE_URL is not there, and the job's write is not idempotent"
        yield codes.NO_TRANSACTION.at(place(worker, "secrets"), what, f"{line}, or idempotent = True in the job")


def _unknown(worker: Mapping[str, Any], given: set[str], job: type[Job[Any]]) -> Iterator[Finding]:
    declared = {*_KNOWN, *job.secrets, *job.environment, *map(variable, job.Scope.__struct_fields__)}
    for name in sorted(given - declared):
        if not name.startswith(_LIBRARIES):
            line = f"correct its name, or declare it: environment = {{{name!r}: None}} in the job"
            yield codes.UNKNOWN_VARIABLE.at(
                place(worker, "environment"), f"{name} is read by neither worker nor job", line
            )


def _settings(worker: Mapping[str, Any], plain: Mapping[str, str], job: type[Job[Any]]) -> Iterator[Finding]:
    """Have the worker's own parser look at what is filled in."""
    faults: list[str] = []
    try:
        found = settings({name: value for name, value in plain.items() if is_known(value)})
        job.limits.tuned(concurrency=found.concurrency, rate=found.rate, page_size=found.page_size)
    except Faults as refused:
        faults += refused.faults
    except ValueError as error:
        faults.append(f"WORKER_RATE, WORKER_CONCURRENCY or WORKER_PAGE_SIZE: {error}")
    for fault in faults:
        yield codes.SETTING_REFUSED.at(place(worker, "environment"), fault, "correct its value, or take it out")


def _groups(definition: Definition, name: str) -> Iterator[Finding]:
    wanted = f"/ecs/{name}"
    for container in definition["containerDefinitions"]:
        options = (container.get("logConfiguration") or {}).get("options", {})
        for option in ("awslogs-group", "log_group_name"):
            if is_known(group := options.get(option, wanted)) and group != wanted:
                path = place(container, "logConfiguration", "options")
                yield codes.LOG_GROUP_ELSEWHERE.at(path, f"{option} is {group!r}", f'"{option}": "{wanted}"')


def _drain(worker: Mapping[str, Any], job: type[Job[Any]]) -> Iterator[Finding]:
    timeout = worker.get("stopTimeout")
    if timeout is None or not 2 <= timeout <= LONGEST_STOP:  # found by itself
        return
    drain, record = StopPlan.within(timeout).drain, job.limits.record_timeout
    if record > drain:
        what = f"of {timeout} s a record in flight gets {drain:.1f} s to drain, and may take {record:g} s"
        line = f"record_timeout={drain:.0f} in the job's limits" if drain >= 1 else f'"stopTimeout": {LONGEST_STOP}'
        yield codes.RECORD_OUTLIVES_STOP.at(place(worker, "stopTimeout"), what, line)
