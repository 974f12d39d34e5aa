"""`local` and `--local`: the servers on this machine, migrated and seeded by us before anybody uses them."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from worker import registry
from worker.cli.arguments import SERVERS
from worker.cli.commands import load
from worker.cli.store import room
from worker.environment import settings
from worker.errors import Faults
from worker.job import Job

_RUN_TABLE = "worker-runs"


@contextlib.contextmanager
def local_stack(options: argparse.Namespace, job: type[Job[Any]]) -> Iterator[None]:
    """Start what the job needs and the environment does not name, beside us, for as long as the run lasts."""
    child, stack = _room("child"), _room("stack")
    needs = _needs(job, _seed(job.name), os.environ)
    # DATABASE_URL is used by every job: its runs are kept there.
    if theirs := [name for key, name in stack.PROVIDED.items() if key in {"postgres", *needs} and os.environ.get(name)]:
        sys.stderr.write(f"using {', '.join(theirs)} of the environment: as it is, nothing seeded\n")
    if not stack.missing(needs, os.environ):
        yield
        return
    flags = [f"{flag}={getattr(options, name)}" for name, flag in said(options).items()]
    with child.Local([job.name, *flags]) as local:
        os.environ.update(local.environment)
        sys.stderr.write(f"started {', '.join(local.started)}\n")
        yield
    if local.report:
        sys.stderr.write(f"{local.report}\n")


def said(options: argparse.Namespace) -> dict[str, str]:
    """Give what was said of the local servers: each option's name, and its flag."""
    return {name: f"--{name.replace('_', '-')}" for name in SERVERS if getattr(options, name) is not None}


def serve_stack(options: argparse.Namespace) -> int:
    """Serve until stopped: what these jobs need and the environment does not name; all that there is where no job is named."""
    serve, stack, process = _room("serve"), _room("stack"), _room("provider_process")
    # A shell that has pasted what an earlier stack printed wants a new one.
    environ = os.environ if options.child else {}
    seeds = {name: _seed(name) for name in options.jobs or registry.names()}
    jobs = [load(name) for name in options.jobs]
    needs = set().union(*(_needs(job, seeds[job.name], environ) for job in jobs)) if jobs else set(stack.PROVIDED)
    provider = process.ProviderOptions(
        rate=options.provider_rate, delay=options.provider_delay, fail=options.provider_fail, seed=options.seed
    )

    async def prepare(started: Any) -> None:
        await _prepare(started, [seed for seed in seeds.values() if seed], options.records, environ)

    code: int = asyncio.run(serve.serve(stack.missing(needs, environ), provider, prepare=prepare, child=options.child))
    return code


def _seed(job: str) -> Any:
    """Find a job's seed; None where it has none."""
    return _room("seed").find(registry.folder(), job)


def _needs(job: type[Job[Any]], seed: Any, environ: Mapping[str, str]) -> set[str]:
    """Say which servers a job needs: what its seed fills, what its variables name, and one of the two for its run store."""
    declared = {*job.secrets, *job.environment}
    needs = {name for name, variable in _room("stack").PROVIDED.items() if variable in declared}
    needs |= set(seed.needs if seed else ("postgres",))
    return needs if "postgres" in needs or environ.get("DATABASE_URL") else needs | {"aws"}


async def _prepare(started: Any, seeds: Iterable[Any], records: int, environ: Mapping[str, str]) -> None:
    """Make the run store and fill what was started, and that alone: what the environment names is not ours to fill."""
    environment = started.environment
    if "AWS_ENDPOINT_URL" in environment and "DATABASE_URL" not in environment and not environ.get("DATABASE_URL"):
        environment["RUN_TABLE"] = _RUN_TABLE
    os.environ.update(environment)
    if {"DATABASE_URL", "RUN_TABLE"} & environment.keys():
        found = settings(environment)
        await room(found).made(found)
    for seed in seeds:
        if theirs := sorted(set(seed.needs) - set(started.servers)):
            names = " and ".join(_room("stack").PROVIDED[name] for name in theirs)
            started.started.append(f"without {seed.name}, for {names} is set")
            continue
        _add(environment, await seed.sow(started.servers, records), seed.name)
        started.started.append(f"filled by {seed.name}")


def _add(environment: dict[str, str], given: Mapping[str, str], seed: str) -> None:
    """Take the variables that a seed gives. Raises Faults where another one means something else by the same name."""
    if taken := [name for name, value in given.items() if environment.get(name, value) != value]:
        raise Faults(
            [
                f"{seed} gives {name}={given[name]!r}, but it is {environment[name]!r} already: one name, one meaning"
                for name in taken
            ]
        )
    environment.update(given)


def _room(name: str) -> Any:
    """Load a part of worker.local, which is an extra. Raises Faults where it is not installed."""
    from importlib import import_module

    try:
        return import_module(f"worker.local.{name}")
    except ImportError as error:
        raise Faults(
            [f"the local servers are not installed ({error}): pip install 'ecs-batch-worker[local]'"]
        ) from error
