"""`launch --plan`: say what a run will take, from its source's count and from what runs before it took; nothing is started."""

import argparse
import asyncio
import os
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from worker.cli.commands import load
from worker.cli.started import connect, limits_of, scope_of, source_of
from worker.cli.store import room
from worker.cli.values import above_0, positive
from worker.environment import Settings, settings
from worker.errors import Faults, Transient
from worker.job import Job, Run
from worker.limits import Limits
from worker.plan import Measured, Prices, Work, measured, plan, unknown
from worker.report import words
from worker.report.plan_lines import lines
from worker.scope import shown
from worker.size import Size
from worker.source import Connecting, Divisible, Source

_LOOKED_AT = 20
"""Runs of the job, the latest ones."""
_COUNTING_S = 20.0
_SHIPPED = Size(cpu=512, memory=1024)
ALONE = ("shards", "records", "record_seconds", "record_cpu", "writes", "prices")
"""The options that go with --plan alone."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    group = parser.add_argument_group("plan", "What would it take? Nothing is started, and ECS is not asked.")
    group.add_argument("--plan", action="store_true", help="say how long it takes, what limits it, what it costs")
    group.add_argument("--shards", type=positive, metavar="N", help="in N shards, each a task (as many as help)")
    group.add_argument("--records", type=positive, metavar="N", help="so many records (as the source counts)")
    group.add_argument(
        "--record-seconds", type=above_0, metavar="S", help="a record is in flight for so long (as measured)"
    )
    group.add_argument("--record-cpu", type=above_0, metavar="S", help="a record takes so much CPU (as measured)")
    group.add_argument(
        "--writes", type=above_0, metavar="N", help="rows a second that its database bears, of all tasks (any)"
    )
    group.add_argument("--prices", metavar="V,G", help="dollars for an hour of a vCPU and of a GB: 0.04656,0.00511")


def show_plan(options: argparse.Namespace) -> int:
    """Print the plan as text, or as one JSON object."""
    found = settings()
    job = load(options.job)
    asked = _Asked(job, options, found, Run(job.name, "plan", scope_of(job, {}, options.scope), dry_run=True))
    made = plan(asyncio.run(asked.work()))
    made = made.among(options.shards) if options.shards else made
    if options.json:
        sys.stdout.write(f"{msgspec.json.encode(made).decode()}\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in lines(made, words.scope(shown(asked.run.scope)))))
    return 0


@dataclass(frozen=True)
class _Asked:
    """What is to be planned, and where it is looked up."""

    job: type[Job[Any]]
    options: argparse.Namespace
    found: Settings
    run: Run[Any]

    async def work(self) -> Work:
        """Look up all that the plan is made of. Raises Faults for what nobody says."""
        job, options, found = self.job, self.options, self.found
        source = self._source()
        known = await self._measured()
        records = options.records if options.records is not None else await self._count(source)
        limits = limits_of(job, found)
        return Work(
            job=job.name,
            records=records,
            limits=limits,
            measured=self._said(known or Measured()),
            size=_size(job, self.run),
            timeout_s=job.timeout.total_seconds(),
            interval_s=job.schedule.shortest.total_seconds() if job.schedule else None,
            max_tasks=job.max_tasks,
            divisible=isinstance(source, Divisible),
            connections=self._connections(source, limits),
            writes=options.writes,
            prices=_prices(options.prices),
        )

    def _connections(self, source: Source, limits: Limits) -> int:
        """Count those of one task to PostgreSQL: the run store's, the source's, and one for shared limits; the job's own come on top."""
        reading = 2 + bool(self.found.replica_url) if isinstance(source, Connecting) else 0
        if not (reading or self.found.database_url):
            return 0
        return 1 + reading + any(rate.shared for rate in limits.named)

    def _source(self) -> Source:
        run, given = self.run, self.job.environment.items()
        missing = [name for name, default in given if not (os.environ.get(name) or default)]
        if missing:
            raise Faults([f"{name} is not set: {run.job} needs it" for name in missing])
        run.environment = {name: os.environ.get(name) or default or "" for name, default in given}
        run.limits = limits_of(self.job, self.found)
        return source_of(self.job(), run)

    async def _measured(self) -> Measured | None:
        """Give what the latest runs took; None where there is no run store to be asked, or none that tells."""
        if not (self.found.database_url or self.found.run_table):
            return None
        async with room(self.found).reading(self.found) as reader:
            return measured(await reader.latest(self.job.name, _LOOKED_AT))

    def _said(self, known: Measured) -> Measured:
        """Let what the options say go before what was measured. Raises Faults where nobody says how long a record takes."""
        options = self.options
        if options.record_seconds is not None:
            known = replace(known, in_flight_s=options.record_seconds, said=True)
        if options.record_cpu is not None:
            known = replace(known, cpu_s=options.record_cpu, said=True)
        if known == Measured() and self.run.limits.rate is None:
            raise Faults([f"{unknown(self.job.name)}, or say --record-seconds"])
        return known

    async def _count(self, source: Source) -> int:
        """Have the source count. Raises Faults where it cannot."""
        name = self.job.name
        if isinstance(source, Connecting) and not self.found.database_url:
            raise Faults(
                [f"{name} reads from PostgreSQL: set DATABASE_URL, or say how many records there are: --records N"]
            )
        count: int | None = None
        async with AsyncExitStack() as opened:
            await connect(source, self.run, self.found, opened)
            try:
                with suppress(AttributeError):  # it reads through what the job opens, which a plan does not
                    if faults := await source.check():
                        raise Faults(faults)
                    async with asyncio.timeout(_COUNTING_S):
                        count = await source.count(None)
            except (Transient, TimeoutError) as error:
                raise Faults([f"the source of {name} did not count: {error}; say it: --records N"]) from error
        if count is None:
            raise Faults([f"the source of {name} cannot say how many records there are: --records N"])
        return count


def _size(job: type[Job[Any]], run: Run[Any]) -> Size:
    """Give the size of its tasks: the job's own, else its definition's, else the shipped one."""
    size = job.sized(run.scope) or Size()
    if size.cpu is not None:
        return size
    file = Path("task-definitions") / f"{job.name}.json"
    if not file.exists():
        return replace(size, cpu=_SHIPPED.cpu, memory=_SHIPPED.memory)
    said = msgspec.json.decode(file.read_bytes())
    return replace(size, cpu=int(said["cpu"]), memory=int(said["memory"]))


def _prices(said: str | None) -> Prices:
    if said is None:
        return Prices()
    try:
        vcpu, memory = map(above_0, said.split(","))
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise Faults([f"--prices {said!r} is not two numbers with a comma between: 0.04656,0.00511"]) from error
    return Prices(vcpu_hour=vcpu, gb_hour=memory, of="as given")
