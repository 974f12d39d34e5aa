"""`launch`: start a run's task on ECS from here, through the same launcher as schedules and events."""

import argparse
import asyncio
import os
import sys
from typing import Any

import msgspec

from worker.cli import plan
from worker.cli.commands import load
from worker.cli.launching import launcher
from worker.cli.started import scope_of
from worker.environment import settings
from worker.errors import Faults, Transient
from worker.launches import Answer, Full, Known, Launched, Unplaced
from worker.scope import encode
from worker.verdict import Verdict


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("job", help="which job")
    parser.add_argument("--scope", action="append", default=[], metavar="NAME=VALUE", help="narrow the run")
    parser.add_argument("--run-key", metavar="K", help="names the run; the same again goes on, or is done (made up)")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be")
    parser.add_argument("--max-records", type=int, metavar="N", help="stop after N records")
    parser.add_argument("--max-affected", type=int, metavar="N", help="let it change N records at most, this once")
    parser.add_argument("--shard", metavar="I/N", help="only that part of the run, which --run-key names")
    parser.add_argument("--backlog", action="store_true", help="as many tasks as the job's queue needs")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    plan.arguments(parser)


def launch_run(options: argparse.Namespace) -> int:
    """Start it, and say in one line which task it is and what comes next; the exit code is that of a start. Raises Faults, Transient."""
    if options.plan:
        return plan.show_plan(options)
    if said := [flag for flag in plan.ALONE if getattr(options, flag) is not None]:
        raise Faults([f"--{flag.replace('_', '-')} goes with --plan" for flag in said])
    values = asked(options)
    answers = asyncio.run(_answers(values))
    for answer in answers:
        sys.stdout.write(f"{_json(answer) if options.json else _line(answer)}\n")
    return max(map(_code, answers), default=0)


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """Give the request that the options make. Raises Faults."""
    job = load(options.job)
    values = {
        "run_key": options.run_key,
        "max_records": options.max_records,
        "max_affected": options.max_affected,
        "shard": options.shard,
        "started_by": os.environ.get("USER"),
    }
    flags = {name: True for name in ("dry_run", "backlog") if getattr(options, name)}
    scope = encode(scope_of(job, {}, options.scope))
    return {"job": job.name, "scope": scope, **flags, **{name: value for name, value in values.items() if value}}


async def _answers(values: dict[str, Any]) -> list[Answer]:
    try:
        async with launcher(settings()) as opened:
            return await opened.launch_all(values)
    except Transient as error:
        raise Transient(f"nothing is known to be started: {error}") from error


def _line(answer: Answer) -> str:
    return f"{answer}; next: {after}" if (after := _next(answer)) else str(answer)


def _next(answer: Answer) -> str:
    """Give the command that tells how it goes."""
    if isinstance(answer, Launched):
        return f"python -m worker runs show {answer.launch.run_id}"
    if isinstance(answer, Known):
        return f"python -m worker runs show {answer.run_id}"
    if isinstance(answer, Full) and answer.live:  # what is in the way; the run itself is not there
        return f"python -m worker runs show {answer.live[0].run_id}"
    return ""


def _json(answer: Answer) -> str:
    return msgspec.json.encode({"answer": type(answer).__name__.lower(), "said": str(answer), "told": answer}).decode()


def _code(answer: Answer) -> int:
    if isinstance(answer, (Full, Unplaced)):
        return Verdict.INTERRUPTED.exit_code
    return 0 if isinstance(answer, (Launched, Known)) else Verdict.NOT_STARTED.exit_code
