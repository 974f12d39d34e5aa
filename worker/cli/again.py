"""`replay` and `--resume`: take up a run that is in the store, with its key and its scope."""

import argparse
import asyncio
import os
from collections.abc import Sequence
from typing import Any

from worker.claim import Selection
from worker.cli.arguments import job_parser
from worker.cli.commands import load
from worker.cli.store import reading, unknown
from worker.errors import Faults
from worker.job import Job
from worker.mask import MASK
from worker.runs import RunView
from worker.scope import as_text, variable


def replayed(options: argparse.Namespace) -> tuple[type[Job[Any]], argparse.Namespace]:
    """Give the job of a run and the options that replay its dead letters."""
    run = asyncio.run(_found(options.run))
    job = load(run.job)
    again = job_parser(job).parse_args([])
    again.replay = Selection(options.error, options.key)
    again.scope = [*_scope(job, run, options.scope), *options.scope]
    again.run_key, again.max_affected = run.run_key, options.max_affected
    return job, again


def resumed(job: type[Job[Any]], options: argparse.Namespace) -> argparse.Namespace:
    """Give the options that go on with the latest run of the job that is not over. Raises Faults for what cannot go with it."""
    if options.local or options.run_key:
        other = "--local: what it starts has no runs yet" if options.local else "--run-key: that names the run already"
        raise Faults([f"--resume cannot go with {other}"])
    run = asyncio.run(_unfinished(job.name))
    options.scope = [*_scope(job, run, options.scope), *options.scope]
    options.run_key = run.run_key
    if run.shards and not (options.shard or options.shards or os.environ.get("SHARD")):
        options.shards = run.shards
    return options


async def _found(run_id: str) -> RunView:
    async with reading() as reader:
        run = await reader.find(run_id)
        if run is None:
            raise await unknown(reader, run_id)
    if run.dry_run:
        raise Faults([f"run {run_id!r} was a dry run: it has no dead letters"])
    return run


async def _unfinished(job: str) -> RunView:
    async with reading() as reader:
        run = await reader.latest_unfinished(job)
    if run is None:
        raise Faults([f"no run of {job} is waiting to go on: python -m worker runs {job} lists them"])
    return run


def _scope(job: type[Job[Any]], run: RunView, given: Sequence[str]) -> list[str]:
    """Say a run's scope in flags. Raises Faults where it has secrets that are not given again: they are not kept."""
    said = {flag.partition("=")[0] for flag in given} | {
        name for name in job.Scope.__struct_fields__ if os.environ.get(variable(name))
    }
    hidden = [name for name, value in run.scope.items() if value == MASK]
    shown = {name: value for name, value in run.scope.items() if name not in hidden}
    missing = [name for name in hidden if name not in said]
    if missing:
        names = ", ".join(f"--scope {name}=…" for name in missing)
        raise Faults([f"the scope of {run.run_id} has secrets, which are not kept: say them again with {names}"])
    return [f"{name}={as_text(value)}" for name, value in shown.items()]
