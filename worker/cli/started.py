"""What the options and the environment say of a run: read, checked, and every fault told at once."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from worker import run_key
from worker.cli.faults import tell
from worker.cli.store import Room, room
from worker.environment import Settings, settings
from worker.errors import Faults
from worker.job import Job, Run
from worker.limits import Limits
from worker.mask import Mask
from worker.report.tracer import missing
from worker.scope import Scope, parse, secrets, variable
from worker.shards import Shard
from worker.source import Connecting, Source

T = TypeVar("T")


@dataclass(frozen=True)
class Started:
    """What the options and the environment say of a run, checked."""

    found: Settings
    room: Room
    run: Run[Any]
    shard: Shard | None
    mask: Mask

    @property
    def named(self) -> dict[str, str | None]:
        """Give what every log line says of it."""
        shard = str(self.shard) if self.shard else None
        told = {"job": self.run.job, "run_id": self.run.run_id, "shard": shard}
        return told | {"correlation_id": self.found.correlation_id}


def started(job: type[Job[Any]], options: argparse.Namespace) -> Started | int:
    """Read options and environment; the exit code where they are wrong, which was told then."""
    faults: list[str] = []
    found = _collected(faults, settings) or Settings(
        database_url=os.environ.get("DATABASE_URL"), run_table=os.environ.get("RUN_TABLE")
    )
    scope = _collected(faults, lambda: scope_of(job, os.environ, options.scope, _referred(found)))
    key = _collected(faults, lambda: _key(options, found))
    kept, plain = _job_environment(job, faults)
    mask = Mask([found.database_url, found.replica_url, found.slack_webhook_url, found.slack_bot_token, *kept.values()])
    shard = _collected(faults, lambda: _shard(options, found))
    store = _collected(faults, lambda: room(found))
    faults += missing(found)
    if faults or scope is None or key is None or store is None:
        return tell(Faults(faults), mask)
    for secret in secrets(scope):
        mask.add(secret)
    run: Run[Any] = Run(job.name, key, scope, dry_run=options.dry_run, secrets=kept, environment=plain)
    return Started(found, store, run, shard, mask)


def _referred(found: Settings) -> dict[str, str]:
    """Read the scope's fields that the launcher has put elsewhere; that takes a library which few runs need."""
    if found.scope_ref is None:
        return {}
    from worker.cli.scope_ref import referred

    return referred(found.scope_ref, found.connect_timeout_s)


def scope_of(
    job: type[Job[Any]], environ: Mapping[str, str], flags: Sequence[str], referred: Mapping[str, str] | None = None
) -> Scope:
    """Build the scope from what SCOPE_REF held, JOB_<FIELD> variables and --scope flags; the latter win.

    Raises Faults naming all that is wrong.
    """
    fields = {variable(field.name): field.name for field in msgspec.structs.fields(job.Scope)}
    faults = [
        f"{name} is no scope field of {job.name}; did you mean {near[0]}?"
        for name in environ
        if name.startswith("JOB_") and name not in fields and (near := get_close_matches(name, fields, 1, 0.8))
    ]
    values = {**(referred or {}), **{field: environ[name] for name, field in fields.items() if name in environ}}
    for flag in flags:
        name, equals, value = flag.partition("=")
        if not equals:
            faults.append(f"--scope {flag!r} has no value: --scope NAME=VALUE")
        else:
            values[name] = value
    scope = _collected(faults, lambda: parse(job.Scope, values, text=True))
    if faults or scope is None:
        raise Faults(faults)
    return scope


def _collected(faults: list[str], make: Callable[[], T]) -> T | None:
    """Make something; note what is wrong with it and go on to find what else is."""
    try:
        return make()
    except Faults as found:
        faults.extend(found.faults)
        return None


def _key(options: argparse.Namespace, found: Settings) -> str:
    """Give the run key: the flag's, else the environment's, else one made up."""
    return run_key.choose(options.run_key or found.run_key, dry_run=options.dry_run, max_records=options.max_records)


def _shard(options: argparse.Namespace, found: Settings) -> Shard | None:
    """Give the part of the run that is asked for. Raises Faults."""
    if options.replay or options.shards or not (asked := options.shard or found.shard):
        return None
    key = options.run_key or found.run_key
    return Shard.asked(asked, key, dry_run=options.dry_run, max_records=options.max_records)


def _job_environment(job: type[Job[Any]], faults: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Read the variables that the job declares: its secrets, and the others."""
    kept = {name: os.environ.get(name, "") for name in job.secrets}
    plain = {name: os.environ.get(name) or default or "" for name, default in job.environment.items()}
    faults += [f"{name} is not set: {job.name} needs it" for name, value in (kept | plain).items() if not value]
    return kept, plain


def source_of(job: Job[Any], run: Run[Any]) -> Source:
    """Ask the job for its source. Raises Faults."""
    try:
        return job.source(run)
    except Exception as error:  # whatever it is, the job's author must hear of it before any record is touched
        raise Faults([f"source() of {run.job} raised {type(error).__name__}: {error}"]) from error


async def connect(source: Source, run: Run[Any], found: Settings, opened: AsyncExitStack) -> None:
    """Lend a source that reads from PostgreSQL its connections. Raises Faults where none is named."""
    if isinstance(source, Connecting):
        if found.database_url is None:
            raise Faults([f"{run.job} reads from PostgreSQL: set DATABASE_URL"])

        from worker.database import Link

        url = found.replica_url or found.database_url
        links = [Link(url, f"{run.job} {purpose}", read_only=run.dry_run) for purpose in ("pages", "count")]
        if found.replica_url:
            links.append(Link(found.database_url, f"{run.job} records", read_only=run.dry_run))
        source.connect(*[await opened.enter_async_context(link) for link in links])


def limits_of(job: type[Job[Any]], found: Settings) -> Limits:
    """Give the limits of a run, as the environment changes them. Raises Faults."""
    try:
        return job.limits.tuned(concurrency=found.concurrency, rate=found.rate, page_size=found.page_size)
    except ValueError as error:
        raise Faults([f"WORKER_RATE, WORKER_CONCURRENCY or WORKER_PAGE_SIZE: {error}"]) from error
