"""`doctor`: find what hurts at night, before the night."""

import argparse
import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from worker import registry
from worker.aws import given
from worker.aws.doctor.examination import Project, examine
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.template import Template, read
from worker.cli import diagnosis
from worker.cli.cursors import Asked, misfitting
from worker.environment import VARIABLES, settings
from worker.errors import Faults
from worker.job import Job
from worker.mask import Mask

_FOLDER = "task-definitions"
_NO_STORE = "the run store (neither DATABASE_URL nor RUN_TABLE is set)"
_NO_VALUES = "what the definitions' ${VARIABLES} will be, and which parameters of a stack are not as its job has them (--values FILE)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("job", nargs="?", help="only this job, and what is everybody's")
    parser.add_argument(
        "--values",
        nargs="+",
        metavar="FILE",
        help="NAME=value a line, or NAME=value itself: the ${VARIABLES} of the task definitions, the parameters of the stacks",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a finding, with a stable code")
    parser.epilog = (
        f"Reads jobs/, {_FOLDER}/, the environment, and the run store where DATABASE_URL or RUN_TABLE is set; changes nothing. "
        "Exit codes: 0 nothing found, 1 something found, 2 usage."
    )


def examine_all(options: argparse.Namespace) -> int:
    """Print what was found, and at the end what was looked at and what was not; give the exit code."""
    project = _project(options)
    asked = _asked(project)
    mask = Mask(os.environ.get(variable.name) for variable in VARIABLES if variable.secret)
    whole = sorted([*examine(project), *asked.found], key=lambda finding: (not finding.job, finding.job))
    found = [_masked(finding, mask) for finding in whole]
    last = _looked_at(project, len(found), [mask(each) for each in asked.unknown])
    if options.json:
        sys.stdout.write("".join(f"{msgspec.json.encode(finding).decode()}\n" for finding in found))
        sys.stderr.write(f"{last}\n")
    else:
        diagnosis.write(found, last, sys.stdout)
    return 1 if found else 0


def _project(options: argparse.Namespace) -> Project:
    """Read what there is to look at. Raises Faults where there is nothing, or not this job."""
    jobs = registry.folder()
    folder = jobs.parent / _FOLDER if jobs else None
    if folder is None or not folder.is_dir():
        raise Faults([f"there is no folder {_FOLDER}/ beside jobs/ here: start doctor in the repository's root"])
    definitions = {file.stem: _text(file) for file in sorted(folder.glob("*.json"))}
    names = registry.names()
    if options.job:
        if options.job not in {*names, *definitions}:
            registry.load(options.job)  # says what it might have been
        definitions = {name: text for name, text in definitions.items() if name == options.job}
        names = [name for name in names if name == options.job]
    stacks = {_name(file, folder): _template(file, folder) for file in sorted(folder.rglob("*.yaml"))}
    return Project(
        jobs={name: _loaded(name) for name in names},
        definitions=definitions,
        stacks=tuple(one for one in stacks.values() if isinstance(one, Template)),
        unreadable={file: one for file, one in stacks.items() if isinstance(one, str)},
        values=given.read(options.values).every() if options.values else None,
        environ=os.environ,
    )


def _loaded(name: str) -> type[Job[Any]] | Faults:
    try:
        return registry.load(name)
    except Faults as faults:
        return faults


def _name(file: Path, folder: Path) -> str:
    return f"{_FOLDER}/{file.relative_to(folder).as_posix()}"


def _template(file: Path, folder: Path) -> Template | str:
    """Give a stack, or what keeps the file from being read as one."""
    try:
        return read(_name(file, folder), _text(file))
    except ValueError as error:
        return str(error)


def _text(file: Path) -> str:
    """Read a file; bytes that are no text stay in it as what no parser takes."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Faults([f"{file} cannot be read: {error}"]) from error


def _asked(project: Project) -> Asked:
    """Ask the run store, where there is one."""
    try:
        found = settings(project.environ)
    except Faults:
        return Asked([], ["the run store (the environment is refused)"])
    if not (found.database_url or found.run_table):
        return Asked([], [_NO_STORE])
    jobs = [job for job in project.jobs.values() if not isinstance(job, Faults)]
    return asyncio.run(misfitting(jobs, found, project.environ))


def _masked(finding: Finding, mask: Mask) -> Finding:
    return replace(finding, what=mask(finding.what), mend=mask(finding.mend))


def _looked_at(project: Project, found: int, unknown: list[str]) -> str:
    """Say what was looked at, and what was not."""
    things = (
        (len(project.jobs), "job"),
        (len(project.definitions), "task definition"),
        (len([*project.stacks, *project.unreadable]), "stack"),
    )
    seen = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in things)
    unseen = [*unknown, *([] if project.values is not None else [_NO_VALUES])]
    verdict = f"{found} finding{'' if found == 1 else 's'}" if found else "nothing found"
    not_seen = f" Not looked at: {'; '.join(unseen)}." if unseen else ""
    return f"{verdict} in {seen} and the environment here.{not_seen}"
