"""Look at all of a project: its jobs, their task definitions, the stacks, the environment."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, cast

from worker.aws.definition import Definition
from worker.aws.definition_faults import findings
from worker.aws.doctor import codes
from worker.aws.doctor.around import oversights, too_eager
from worker.aws.doctor.delivery import ill_timed, refused_schedules, undelivered
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.fit import misfits
from worker.aws.doctor.functions import weaknesses
from worker.aws.doctor.job import hazards_of
from worker.aws.doctor.rights import excesses
from worker.aws.doctor.surroundings import refused, untunable
from worker.aws.doctor.template import Template
from worker.aws.stack_parameters import parameters
from worker.aws.task_definition import RELEASED, fill, variables
from worker.errors import Faults
from worker.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What there is to look at."""

    jobs: Mapping[str, type[Job[Any]] | Faults]
    """By name; Faults for a file that cannot be loaded."""
    definitions: Mapping[str, str]
    """The texts of the task definitions, by the names of their files."""
    stacks: Iterable[Template] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Of files of stacks that are none, what is wrong with them."""
    values: Mapping[str, str] | None = None
    """Of the definitions' variables and the stacks' parameters; None where nobody has named them yet."""
    environ: Mapping[str, str] = field(default_factory=dict)


def definition_file(name: str) -> str:
    """Name the file of a job's task definition."""
    return f"task-definitions/{name}.json"


def job_file(name: str) -> str:
    """Name the file of a job."""
    return f"jobs/{name.replace('-', '_')}.py"


def examine(project: Project) -> list[Finding]:
    """Find everything that hurts, each job's together and what is everybody's at the end."""
    names = sorted({*project.jobs, *project.definitions})
    each = [replace(finding, job=name) for name in names for finding in _job(project, name)]
    return [*each, *refused(project.environ), *_stacks(project)]


def _job(project: Project, name: str) -> Iterator[Finding]:
    job = project.jobs.get(name)
    definition, found = _definition(project, name)
    yield from _in(definition_file(name), found)
    if isinstance(job, Faults):
        broken = (
            codes.BROKEN_JOB.at("", fault, "correct it; python -m worker list loads it, too") for fault in job.faults
        )
        yield from _in(job_file(name), broken)
    elif job is None:
        what = f"there is no job {name!r}"
        line = f"write {job_file(name)}, or remove the definition"
        yield from _in(definition_file(name), [codes.NO_JOB.at("family", what, line)])
    else:
        yield from _in(job_file(name), (replace(one, path=f"{job.__name__}.{one.path}") for one in hazards_of(job)))
        if definition is not None and not {codes.MALFORMED.name, codes.CONTAINER_NAMES.name} & {
            one.code for one in found
        }:
            yield from _in(definition_file(name), misfits(definition, job))
        yield from untunable(job, project.environ)
        derived = _derived(cast("Any", job))  # mypy takes a class whose instances compare for one without a hash
        for stack in _given(project):
            mine = stack.given({**derived, **stack.values, "Job": name})
            yield from _in(stack.file, [*ill_timed(mine, job), *too_eager(mine, job)])


def _definition(project: Project, name: str) -> tuple[Definition | None, list[Finding]]:
    """Give a job's task definition, filled in as far as its values are known, and what is wrong with it by itself."""
    text = project.definitions.get(name)
    if text is None:
        what, line = (
            "there is none",
            f"write it; python -m worker new shows what it looks like: {definition_file(name)}",
        )
        return None, [codes.NO_DEFINITION.at("", what, line)]
    try:
        definition = fill(json.loads(text), project.values or {})
    except ValueError as error:
        return None, [codes.MALFORMED.at("", f"is no JSON: {error}", "correct it there")]
    return definition, [*_unfilled(project, text), *findings(definition)]


def _unfilled(project: Project, text: str) -> Iterator[Finding]:
    for name in variables(text) if project.values is not None else ():
        if name not in RELEASED and not (project.values or {}).get(name):
            yield codes.VARIABLE_WITHOUT_VALUE.at(f"${{{name}}}", "has no value", f"{name}=…")


@cache
def _derived(job: Any) -> dict[str, str]:
    """Give a stack's parameters as a release derives them from the job."""
    return parameters(job, ())


def _stacks(project: Project) -> Iterator[Finding]:
    for file, wrong in project.unreadable.items():
        yield from _in(file, [codes.MALFORMED.at("", wrong, "correct it there; cfn-lint says the same in more words")])
    for stack in _given(project):
        checks = (refused_schedules, undelivered, excesses, oversights, weaknesses)
        yield from _in(stack.file, (finding for check in checks for finding in check(stack)))


def _given(project: Project) -> Iterator[Template]:
    return (stack.given(project.values or {}) for stack in project.stacks)


def _in(file: str, found: Iterable[Finding]) -> Iterator[Finding]:
    return (replace(finding, file=file) for finding in found)
