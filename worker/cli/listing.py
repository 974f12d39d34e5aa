"""`list` and `runs`: the jobs, and how their runs went."""

import argparse
import asyncio
import sys
from collections.abc import Sequence

import msgspec

from worker import registry
from worker.cli.database import required_url
from worker.cli.describe import bounds, purpose
from worker.database import Link, is_refused, said, where
from worker.errors import Faults, Transient
from worker.report import words
from worker.runs import RunView
from worker.scope import described
from worker.store.migrate import version
from worker.store.reading import RunReader
from worker.tally import Tally


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
            f"  {purpose(job)}",
            f"  schedule  {job.schedule or 'none: started by hand or by events'}; timeout {job.timeout}",
            f"  limits    {bounds(job)}",
            f"  scope     {scope or 'none'}",
            "",
        )
    return code


def show_runs(options: argparse.Namespace) -> int:
    """Print the latest runs as a table, or as JSON lines."""
    if options.job and options.job not in registry.names():
        registry.load(options.job)  # says what it might have been
    found = asyncio.run(_latest(required_url(), options))
    if options.json:
        _print(*(msgspec.json.encode(run).decode() for run in found))
    elif found:
        _table(
            ("RUN", "STATUS", "ATTEMPTS", "STARTED (UTC)", "TOOK", "READ", "DONE", "SKIPPED", "FAILED", "SCOPE"),
            map(_row, found),
        )
    else:
        _print("no runs yet")
    return 0


async def _latest(url: str, options: argparse.Namespace) -> list[RunView]:
    async with Link(url, "runs") as link:
        try:
            if await version(link) == 0:
                raise Faults(["the run store's schema is not there: run python -m worker migrate"])
            return await RunReader(link).latest(options.job, options.limit)
        except Transient as error:
            raise Faults([str(error)]) from error
        except Exception as error:
            if is_refused(error):
                raise Faults([f"database {where(url)} refuses the run store: {said(error)}"]) from error
            raise


def _row(run: RunView) -> Sequence[str]:
    tally = Tally.from_json(run.tally)
    counts = (f"{count:,}" for count in (tally.read, tally.done, tally.skips, tally.failed))
    took = words.duration(run.duration_s) if run.duration_s is not None else ""
    status = f"{run.status} (dry run)" if run.dry_run else run.status
    return (
        run.run_id,
        status,
        str(run.attempt),
        f"{run.created_at:%Y-%m-%d %H:%M:%S}",
        took,
        *counts,
        words.scope(run.scope),
    )


def _table(head: Sequence[str], rows: "Sequence[Sequence[str]] | map[Sequence[str]]") -> None:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    _print(*("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines))


def _print(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
