"""Tell how often a job runs, and the nights on which clocks change from what its schedule had in mind for them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from worker.job import Job
from worker.schedule import Cron

_AHEAD_DAYS = 366
_OFTEN = timedelta(hours=1)
"""A schedule that fires so often loses nothing by one hour that is not there."""


def interval(job: type[Job[Any]]) -> timedelta | None:
    """Give the shortest time between two runs of a job; None where it is not scheduled, or once."""
    if job.schedule is None or job.schedule.shortest == timedelta.max:
        return None
    return job.schedule.shortest


def hazards(schedule: Cron, now: datetime) -> list[str]:
    """Say which local times of the coming year a schedule names that do not exist, or come twice."""
    if schedule.zone == "UTC" or schedule.shortest <= _OFTEN:
        return []
    wall = Cron(
        schedule.expression
    )  # in UTC, which skips and repeats nothing: each time that the clock on the wall should show
    found = []
    for first, last, missing in changes(ZoneInfo(schedule.zone), now):
        due = wall.following(first - timedelta(microseconds=1))
        if due is not None and due < last:
            found.append(f"{due:%Y-%m-%d %H:%M} {'does not exist' if missing else 'comes twice'} in {schedule.zone}")
    return found


def changes(zone: ZoneInfo, now: datetime) -> Iterator[tuple[datetime, datetime, bool]]:
    """Give the spans of local time, written in UTC, that the coming year's changes leave out (True) or repeat (False)."""
    for day in range(_AHEAD_DAYS):
        start = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(days=day)
        before, after = _offset(zone, start), _offset(zone, start + timedelta(days=1))
        if before != after:
            at = _change(zone, start, start + timedelta(days=1))
            yield at + min(before, after), at + max(before, after), after > before


def _change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime:
    """Find the minute between two times at which the offset changes, by halves."""
    while (left := end - start) > timedelta(minutes=1):
        middle = start + timedelta(minutes=left // timedelta(minutes=2))
        start, end = (middle, end) if _offset(zone, middle) == _offset(zone, start) else (start, middle)
    return end


def _offset(zone: ZoneInfo, when: datetime) -> timedelta:
    offset = when.astimezone(zone).utcoffset()
    assert offset is not None, "an aware time has an offset"
    return offset
