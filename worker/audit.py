"""What should have happened by now: a job's schedule and timeout against what the run store has seen."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from worker.job import Job
from worker.runs import KILLED, RunView
from worker.schedule import Every
from worker.verdict import Verdict

GRACE = timedelta(minutes=3)
"""What a start takes beside the work: a schedule's minute, capacity, the image."""
QUIET = timedelta(minutes=5)
"""After so long without a heartbeat a dead worker has no successor: the reporter starts one within a minute or two."""
RECENT = timedelta(days=1)
"""A worker that died before is history."""
_LONG = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Due:
    """A success that there should be by now."""

    since: datetime
    """When its run was due; of a fixed interval, since when one was."""
    begun_since: datetime
    """Only a run that was begun since then counts as that success."""
    exact: bool
    """Whether the schedule names the run: by the calendar it does, an interval begins nobody knows when."""


def due(job: type[Job[Any]], now: datetime) -> Due | None:
    """Give the last success that is due; None for a job that no schedule starts, or whose first time is yet to come."""
    if job.schedule is None:
        return None
    since = job.schedule.previous(now - job.timeout - GRACE)
    if since is None:
        return None
    if isinstance(job.schedule, Every):
        return Due(since, since - _LONG, exact=False)
    return Due(since, since - job.timeout, exact=True)


def came(wanted: Due, success: RunView | None) -> bool:
    """Tell whether the last success of those that count is the one that was due."""
    return success is not None and (success.ended_at or success.created_at) >= wanted.since


def days_late(job: type[Job[Any]], wanted: Due, last: datetime, now: datetime) -> int:
    """Count the whole days for which it has been missing; `last` is when the last success was, or the job was first seen."""
    return ((now - job.timeout - GRACE - wanted.since) if wanted.exact else (wanted.since - last)).days


def at_work(job: type[Job[Any]], holder: RunView | None, now: datetime) -> bool:
    """Tell whether a run that began late still has time."""
    return holder is not None and holder.created_at + job.timeout + GRACE > now


def dead(run: RunView, now: datetime) -> bool:
    """Tell whether a run has lost its worker lately, and nobody has taken it up."""
    killed = run.status == Verdict.INTERRUPTED.word and run.detail == KILLED and not run.dry_run
    return killed and run.heartbeat_at is not None and QUIET < now - run.heartbeat_at < RECENT
