"""Print the parameters of a pipeline's stack: its steps, each with its shards, and the timeouts that follow from their jobs.

::

    python -m worker.aws.pipeline_parameters orders extract-orders transform-orders:4 load-orders ScheduleState=DISABLED

`aws cloudformation deploy` takes them by `--parameter-overrides file://…`.
"""

import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from worker import registry
from worker.aws import given
from worker.errors import Faults
from worker.job import Job

MOST_SHARDS = 40
"""Iterations that an inline Map runs at a time (Step Functions Developer Guide, "Map state processing modes")."""

_USAGE = "usage: python -m worker.aws.pipeline_parameters PIPELINE JOB[:SHARDS]… [Name=value…]"
_START_AND_STOP = timedelta(minutes=30)


def parameters(pipeline: str, steps: Sequence[str]) -> dict[str, str]:
    """Derive them. Raises Faults: all steps that can be none."""
    found, faults = list[tuple[str, int, int]](), list[str]()
    for step in steps:
        name, _, shards = step.partition(":")
        try:
            job = registry.load(name)
        except Faults as error:
            faults += error.faults
            continue
        faults += [f"{step}: {fault}" for fault in _unfit(job, shards)]
        found.append((name, int(shards) if shards.isdecimal() else 1, patience_s(job)))
    if faults:
        raise Faults(faults)
    names, counts, timeouts = (",".join(map(str, column)) for column in zip(*found, strict=True))
    return {"Pipeline": pipeline, "Steps": names, "Shards": counts, "Timeouts": timeouts}


def patience_s(job: type[Job[Any]]) -> int:
    """Give the seconds that a task may take: it may follow another task's attempt first; then its own deadline ends it, not this."""
    return int((2 * job.timeout + _START_AND_STOP).total_seconds())


def _unfit(job: type[Job[Any]], shards: str) -> list[str]:
    fields = {field.name: field for field in msgspec.structs.fields(job.Scope)}
    needed = [name for name, field in fields.items() if field.required and name != "date"]
    faults = [] if "date" in fields else ["its scope has no date: each step is one of a date"]
    faults += [f"its scope needs {', '.join(needed)}, and a pipeline gives it the date alone"] if needed else []
    if shards and not (shards.isdecimal() and 1 <= int(shards) <= MOST_SHARDS):
        faults.append(f"{shards!r} shards: say a number from 1 to {MOST_SHARDS}")
    return faults


def main(arguments: Sequence[str]) -> int:
    """Print them as JSON and give 0; on faults, say all of them on stderr and give 2."""
    words = [each for each in arguments if "=" not in each]
    if len(words) < 2 or words[0].startswith("-"):
        sys.stdout.write(f"{_USAGE}\n\n{__doc__}")
        return 2 if not words or not words[0].startswith("-") else 0
    try:
        own = given.read([each for each in arguments if "=" in each]).own
        found = parameters(words[0], words[1:]) | own
    except Faults as error:
        sys.stderr.write("".join(f"{fault}\n" for fault in error.faults))
        return 2
    sys.stdout.write(json.dumps([f"{key}={value}" for key, value in found.items()], indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
