"""`python -m worker <job>`: put the parts of an attempt together, make it, and exit with what it says."""

import argparse
import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import uvloop

from worker import registry, run_key
from worker.aws import metadata
from worker.cli.arguments import COMMANDS, job_parser
from worker.cli.faults import tell
from worker.cli.reports import reporter
from worker.cli.store import Room, room
from worker.environment import Settings, settings
from worker.errors import Faults
from worker.events import Cause, Reporter
from worker.job import Job, Run
from worker.limits import Limits, Rate
from worker.mask import Mask
from worker.parts import Parts
from worker.portions import LEASES, Portions
from worker.rate import RateLimit
from worker.report import logs
from worker.report.tracer import missing
from worker.run import attempt
from worker.scope import Scope, parse, secrets, variable
from worker.shards import Shard
from worker.sharing import Sharing
from worker.signals import Signals
from worker.source import Connecting, Source
from worker.stop import Stop, StopPlan

if TYPE_CHECKING:
    from worker.report.traces import Traces

T = TypeVar("T")

_VERSION = "0.1.0"


def work(name: str, argv: Sequence[str], signals: Signals) -> int:
    """Run a job as the arguments and the environment say; give the exit code."""
    job = registry.load(name, tuple(COMMANDS))
    options = job_parser(job).parse_args(argv)
    if options.resume:
        from worker.cli.again import resumed

        options = resumed(job, options)
    if options.shards and (options.shard or options.max_records):
        raise Faults(["--shards makes all parts of a whole run: it goes neither with --shard nor with --max-records"])
    if options.twice and not options.local:
        raise Faults(["--twice goes with --local: elsewhere, start the job again"])
    if not options.local:
        return make(job, options, signals)
    if options.twice:
        os.environ.pop("DD_TRACE_ENABLED", None)  # a process makes one trace
    from worker.cli.stack import local_stack

    with local_stack(options, job):
        code = make(job, options, signals)
        return _again(job, options) if options.twice and code == 0 else code


def _again(job: type[Job[Any]], options: argparse.Namespace) -> int:
    """Make another run of the same."""
    signals = Signals()  # those of the first attempt are deaf since it ended
    if limits_of(job, settings()).rate:
        time.sleep(1)  # the simulated provider's window: two attempts do not share their limits
    options.run_key = run_key.made_up("again")  # the first one's is done
    return make(job, options, signals)


def make(job: type[Job[Any]], options: argparse.Namespace, signals: Signals) -> int:
    """Make an attempt as the options and the environment say; give the exit code."""
    if options.shards:
        from worker.cli.shards import make_in_shards

        return make_in_shards(job, options, signals)
    start = started(job, options)
    if isinstance(start, int):
        return start
    reporting, traces = reporter(start.found, job.name, start.mask, options.tell)
    logs.context(**start.named)
    catch_the_uncaught()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_attempt(job, start, options, signals, reporting, traces))
        except Faults as refused:
            return tell(refused, start.mask)


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


async def _attempt(
    job: type[Job[Any]],
    start: Started,
    options: argparse.Namespace,
    signals: Signals,
    reporting: Reporter,
    traces: "Traces | None",
) -> int:
    run, found, shard = start.run, start.found, start.shard
    asyncio.get_running_loop().set_exception_handler(logs.log_uncaught_in_loop)
    stop = Stop()
    signals.hand_to(stop)
    if options.tell is not None:
        _stop_without_parent(stop)
    task = await metadata.task(found)
    run.database_url = found.database_url or ""
    run.limits = limits = limits_of(job, found) if shard is None else shard.limits(limits_of(job, found))
    rates = _rates(limits)
    run.permits = {name: rate.acquire for name, rate in rates.items()}
    working = job()
    source = source_of(working, run)
    async with AsyncExitStack() as opened:
        opened.callback(signals.ignore)
        shared = [rate for rate in limits.named if rate.shared]
        await connect(source, run, found, opened)
        portions = await opened.enter_async_context(start.room.sharing(found, job.name)) if shared else None
        parts = Parts(
            job=working,
            run=run,
            source=source,
            store=await opened.enter_async_context(start.room.opened(found, job.name)),
            limits=limits,
            rates=rates,
            sharing=[_sharing(rate, rates[rate.name], portions, found) for rate in shared if portions],
            stop=stop,
            plan=StopPlan.within(found.stop_timeout_s),
            mask=start.mask,
            task=task,
            cause=Cause(
                trigger=found.trigger,
                correlation_id=found.correlation_id,
                scheduled_time=found.scheduled_time,
                started_by=found.started_by,
            ),
            version=found.dd_version or _VERSION,
            host=socket.gethostname(),
            reporter=reporting,
            links=_links(found, run, task.log_url),
            max_records=options.max_records,
            max_affected=options.max_affected,
            replay=options.replay,
            restart=options.restart,
            wait=options.wait,
            shard=shard,
            lasting=not options.local,
            connect_timeout_s=found.connect_timeout_s,
            patience_s=found.database_budget_s,
        )
        if traces is not None:
            traces.wrap(parts)
        summary = await attempt(parts)
    return summary.exit_code


def _stop_without_parent(stop: Stop) -> None:
    """Stop when standard input ends, which the process that has started all shards keeps open: nobody would stop them after it."""
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def ended() -> None:
        loop.remove_reader(stdin)
        stop.ask("the process that started it has ended")

    loop.add_reader(stdin, ended)


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


def _rates(limits: Limits) -> dict[str, RateLimit]:
    """Make the rate limits by their names; a job without one still can be paused."""
    named = {rate.name: RateLimit(rate) for rate in limits.named}
    return named if limits.rate else {"rate": RateLimit(None), **named}


def _sharing(rate: Rate, limit: RateLimit, portions: Portions, found: Settings) -> Sharing:
    return Sharing(rate, limit, portions, logging.getLogger("job"), lease_s=LEASES * found.lease_s)


def _links(found: Settings, run: Run[Any], log_url: str | None) -> dict[str, str]:
    return ({"Logs": log_url} if log_url else {}) | found.run_page(run.run_id)


def catch_the_uncaught() -> None:
    """Log what nobody catches."""
    sys.excepthook = logs.log_uncaught
    threading.excepthook = logs.log_uncaught_in_thread
