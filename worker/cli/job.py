"""`python -m worker <job>`: put the parts of an attempt together, make it, and exit with what it says."""

import argparse
import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import uvloop

from worker import run_key
from worker.aws import metadata
from worker.cli.arguments import job_parser
from worker.cli.commands import load
from worker.cli.faults import tell
from worker.cli.reports import reporter
from worker.cli.started import Started, connect, limits_of, source_of, started
from worker.environment import Settings, settings
from worker.errors import Faults
from worker.events import Cause, Reporter
from worker.job import Job, Run
from worker.limits import Limits, Rate
from worker.parts import Parts
from worker.portions import LEASES, Portions
from worker.rate import RateLimit
from worker.report import logs
from worker.run import attempt
from worker.sharing import Sharing
from worker.signals import Signals
from worker.stop import Stop, StopPlan

if TYPE_CHECKING:
    from worker.report.traces import Traces


_VERSION = "0.1.0"


def work(name: str, argv: Sequence[str], signals: Signals) -> int:
    """Run a job as the arguments and the environment say; give the exit code."""
    job = load(name)
    options = job_parser(job).parse_args(argv)
    if options.resume:
        from worker.cli.again import resumed

        options = resumed(job, options)
    if options.shards and (options.shard or options.max_records):
        raise Faults(["--shards makes all parts of a whole run: it goes neither with --shard nor with --max-records"])
    if not options.local:
        _refuse_what_is_local(options)
        return make(job, options, signals)
    if options.twice:
        os.environ.pop("DD_TRACE_ENABLED", None)  # a process makes one trace
    from worker.cli.stack import local_stack

    with local_stack(options, job):
        code = make(job, options, signals)
        return _again(job, options) if options.twice and code == 0 else code


def _refuse_what_is_local(options: argparse.Namespace) -> None:
    """Refuse what is meant for servers that nobody starts: passed over, it would leave a run that is live and unbounded."""
    from worker.cli.stack import said

    instead = {"--records": "did you mean --max-records N?", "--twice": "elsewhere, start the job again"}
    flags = [*said(options).values(), *(["--twice"] if options.twice else [])]
    if flags:
        raise Faults(
            [f"{flag} goes with --local: {instead.get(flag, 'elsewhere, no provider is started')}" for flag in flags]
        )


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
    logs.catch_the_uncaught()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_attempt(job, start, options, signals, reporting, traces))
        except Faults as refused:
            return tell(refused, start.mask)


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


def _rates(limits: Limits) -> dict[str, RateLimit]:
    """Make the rate limits by their names; a job without one still can be paused."""
    named = {rate.name: RateLimit(rate) for rate in limits.named}
    return named if limits.rate else {"rate": RateLimit(None), **named}


def _sharing(rate: Rate, limit: RateLimit, portions: Portions, found: Settings) -> Sharing:
    return Sharing(rate, limit, portions, logging.getLogger("job"), lease_s=LEASES * found.lease_s)


def _links(found: Settings, run: Run[Any], log_url: str | None) -> dict[str, str]:
    return ({"Logs": log_url} if log_url else {}) | found.run_page(run.run_id)
