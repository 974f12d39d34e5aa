"""The jobs as the console lists them: what each is for, when it runs, what a start may say, and how it went lately."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from worker.job import Job
from worker.limits import Limits, Rate
from worker.registry import purpose
from worker.run_key import time_in
from worker.runs import RunView
from worker.schedule import Cron, Every

LATEST = 20
"""So many runs of each job are in the list."""

_OF_RUNS = ("run_id", "status", "dry_run", "created_at", "ended_at", "duration_s", "tally")


def about(job: type[Job[Any]], environ: Mapping[str, str] | None) -> dict[str, Any]:
    """Give what does not change while the server runs; `environ` where runs get this server's environment."""
    return {
        "name": job.name,
        "purpose": purpose(job),
        "schedule": _schedule(job.schedule),
        "timeout_s": job.timeout.total_seconds(),
        "limits": _limits(job.limits),
        "max_affected": job.max_affected,
        "one_per_scope": job.one_per_scope,
        "scope": msgspec.json.schema(job.Scope),
        "missing": [] if environ is None else _missing(job, environ),
    }


def following(job: type[Job[Any]], latest: Sequence[RunView]) -> datetime | None:
    """Give when the job is due next, which has gone by where it is late; None where nothing tells.

    An interval is counted from the last run that has its time for a key, as the scheduler gives it.
    """
    if isinstance(job.schedule, Every):
        times = (time_in(run.run_key) for run in latest if run.run_key[:1].isdigit() and not run.dry_run)
        last = max((time for time in times if time is not None), default=None)
        return last and last + job.schedule.interval
    return job.schedule.following(datetime.now(UTC)) if job.schedule else None


def bar(run: RunView) -> dict[str, Any]:
    """Give what the strip of last runs shows of one."""
    return {name: getattr(run, name) for name in _OF_RUNS}


def _schedule(schedule: Every | Cron | None) -> dict[str, str] | None:
    return None if schedule is None else {"text": str(schedule), "zone": getattr(schedule, "zone", "UTC")}


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "concurrency": limits.concurrency,
        "rate": _rate(limits.rate) if limits.rate else None,
        "rates": [_rate(rate) for rate in limits.rates],
        "page_size": limits.page_size,
        "max_age_s": limits.max_age,
        "record_timeout_s": limits.record_timeout,
    }


def _rate(rate: Rate) -> dict[str, Any]:
    return {"count": rate.count, "per": rate.per, "name": rate.name}


def _missing(job: type[Job[Any]], environ: Mapping[str, str]) -> list[str]:
    needed = [*job.secrets, *(name for name, default in job.environment.items() if not default)]
    return [name for name in needed if not environ.get(name)]
