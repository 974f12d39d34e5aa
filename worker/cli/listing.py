"""`list`: the jobs."""

import sys

from worker import registry
from worker.cli.describe import bounds
from worker.errors import Faults
from worker.scope import described


def show_jobs() -> int:
    """Print every job: what it is for, when, how much at once, and how a run of it is narrowed."""
    code = 0
    for name in registry.names():
        try:
            job = registry.load(name)
        except Faults as faults:
            code = 2
            _print(name, *(f"  BROKEN: {fault}" for fault in faults.faults), "")
            continue
        scope = ", ".join(f"{field} ({kind}, {default})" for field, kind, default in described(job.Scope))
        _print(
            name,
            f"  {registry.purpose(job)}",
            f"  schedule  {job.schedule or 'none: started by hand or by events'}; timeout {job.timeout}",
            f"  limits    {bounds(job)}",
            f"  scope     {scope or 'none'}",
            "",
        )
    return code


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
