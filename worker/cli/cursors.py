"""Ask the run store where runs would go on, and whether their jobs' sources still fit: for the doctor."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, NamedTuple

from worker.aws.doctor import codes
from worker.aws.doctor.examination import job_file
from worker.aws.doctor.finding import Finding
from worker.beginning import checkpoint
from worker.claim import Granted
from worker.cli.store import reading
from worker.environment import Settings
from worker.errors import Faults, Transient, WorkerError
from worker.job import Job, Run
from worker.runs import RunView
from worker.scope import parse
from worker.source import Connecting, Source
from worker.tally import Tally

_PATIENCE_S = 10.0


class Asked(NamedTuple):
    """What the run store had to say, and of which runs it could not be told whether they fit."""

    found: list[Finding]
    unknown: list[str]


async def misfitting(jobs: Iterable[type[Job[Any]]], settings: Settings, environ: Mapping[str, str]) -> Asked:
    """Look whether each job's latest run that is not over would go on."""
    asked = Asked([], [])
    try:
        async with reading() as reader:
            runs = [(job, run) for job in jobs if (run := await reader.latest_unfinished(job.name)) is not None]
    except (Faults, Transient) as error:
        line = "python -m worker migrate, or correct DATABASE_URL or RUN_TABLE"
        faults = error.faults if isinstance(error, Faults) else [str(error)]
        return Asked([codes.RUN_STORE.at("run store", fault, line) for fault in faults], [])
    for job, run in runs:
        if run.source is not None:
            try:
                asked.found.extend(_judged(job, run, await _source(job, run, settings, environ)))
            except (WorkerError, TimeoutError) as error:
                asked.unknown.append(f"whether {run.run_id} can go on ({error or 'no answer'})")
    return asked


def _judged(job: type[Job[Any]], run: RunView, source: Source) -> Iterator[Finding]:
    """Have the run's checkpoint read as an attempt reads it."""
    try:
        checkpoint(Granted(run.attempt, run.source, run.cursor, [], Tally()), source)
    except Faults as faults:
        what = f"{run.run_id}: {'; '.join(faults.faults)}"
        misfit = codes.CURSOR_MISFITS.at(f"{job.__name__}.source", what, _mend(run))
        yield replace(misfit, job=job.name, file=job_file(job.name))


def _mend(run: RunView) -> str:
    return f"python -m worker {run.job} --resume --restart, or give the source its key {run.source!r} back"


async def _source(job: type[Job[Any]], run: RunView, settings: Settings, environ: Mapping[str, str]) -> Source:
    """Make the job's source as an attempt would, and have it look. Raises Faults for what keeps it from that."""
    if missing := [name for name, default in job.environment.items() if default is None and not environ.get(name)]:
        raise Faults([f"{', '.join(missing)} not set"])
    environment = {name: environ.get(name) or default or "" for name, default in job.environment.items()}
    scope = parse(job.Scope, run.scope)
    working = job()
    try:
        source = working.source(Run(job.name, run.run_key, scope, environment=environment))
    except Exception as error:  # whatever it is, the cursor cannot be judged
        raise Faults([f"source() raised {type(error).__name__}: {error}"]) from error
    async with AsyncExitStack() as opened, asyncio.timeout(_PATIENCE_S):
        if isinstance(source, Connecting):
            if settings.database_url is None:
                raise Faults(["DATABASE_URL not set"])
            from worker.database import Link

            link = await opened.enter_async_context(Link(settings.database_url, "doctor", read_only=True))
            source.connect(link, link)
        try:
            faults = await source.check()
        except AttributeError:  # it reads through what the job opens, and its key is said without
            faults = []
    if faults:
        raise Faults(faults)
    return source
