"""When a job is meant to run: what its task's schedule must say, and what the auditor expects."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice, pairwise

from worker import cron

DATES_LOOKED_AT = 400
"""How many days that a schedule fires on show its shortest interval: all its pattern but for the odd leap year."""


def seconds(count: float) -> timedelta:
    """Give a duration of that many seconds."""
    return timedelta(seconds=count)


def minutes(count: float) -> timedelta:
    """Give a duration of that many minutes."""
    return timedelta(minutes=count)


def hours(count: float) -> timedelta:
    """Give a duration of that many hours."""
    return timedelta(hours=count)


@dataclass(frozen=True, slots=True)
class Every:
    """Run at a fixed interval, as EventBridge's `rate(...)` does; `str()` gives that expression.

    EventBridge counts from when the schedule was made, which no job file knows: its two ends say the latest possible.
    """

    minutes: int = 0
    hours: int = 0

    def __post_init__(self) -> None:
        if self.minutes + 60 * self.hours < 1:
            raise ValueError("a schedule's interval is at least one minute: Every(minutes=5)")

    @property
    def interval(self) -> timedelta:
        """Give the time between two runs."""
        return timedelta(minutes=self.minutes, hours=self.hours)

    @property
    def shortest(self) -> timedelta:
        """Give the shortest time between two runs: the interval."""
        return self.interval

    def following(self, after: datetime) -> datetime:
        """Give the time by which the next run will have been due, wherever the interval began."""
        return _aware(after).astimezone(UTC) + self.interval

    def previous(self, before: datetime) -> datetime:
        """Give the time since which one run has been due, wherever the interval began."""
        return _aware(before).astimezone(UTC) - self.interval

    def __str__(self) -> str:
        total = self.minutes + 60 * self.hours
        count, unit = (total // 60, "hour") if total % 60 == 0 else (total, "minute")
        return f"rate({count} {unit}{'s' if count != 1 else ''})"


@dataclass(frozen=True, slots=True)
class Cron:
    """Run by the calendar: the six fields of EventBridge's `cron(...)`, in a time zone (IANA name)."""

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        cron.read(self.expression)
        _zone(self.zone)

    @property
    def shortest(self) -> timedelta:
        """Give the shortest time between two runs, by the wall clock; `timedelta.max` where there is only one."""
        calendar = cron.read(self.expression)
        within = [_apart(first, second) for first, second in pairwise(calendar.times)]
        dates = islice(calendar.dates(date(calendar.years[0], 1, 1)), DATES_LOOKED_AT)
        over = _apart(calendar.times[-1], calendar.times[0])
        return min([*within, *(second - first + over for first, second in pairwise(dates))], default=timedelta.max)

    def following(self, after: datetime) -> datetime | None:
        """Give the first time after that one, in UTC; None where the years are over, or no such day comes."""
        return next((when for when in self._times(_aware(after)) if when > after), None)

    def previous(self, before: datetime) -> datetime | None:
        """Give the last time before that one, in UTC; None where there was none."""
        return next((when for when in self._times(_aware(before), back=True) if when < before), None)

    def _times(self, start: datetime, *, back: bool = False) -> Iterator[datetime]:
        """Give the times from that day on, or back: a local time that is skipped in spring is none, one that comes twice in autumn is the first."""
        zone, calendar = _zone(self.zone), cron.read(self.expression)
        for day in calendar.dates(start.astimezone(zone).date(), back=back):
            for at in calendar.times[:: -1 if back else 1]:
                local = datetime.combine(day, at, zone)
                when = local.astimezone(UTC)
                if when.astimezone(zone) == local:
                    yield when

    def __str__(self) -> str:
        return f"cron({self.expression}) {self.zone}"


def _aware(when: datetime) -> datetime:
    if when.tzinfo is None:
        raise ValueError(f"{when} says no time zone: give datetime.now(UTC), not datetime.now()")
    return when


def _apart(first: time, second: time) -> timedelta:
    return datetime.combine(date.min, second) - datetime.combine(date.min, first)


def _zone(name: str) -> tzinfo:
    """Give the time zone of that name; the zones' files are read only where one is not UTC."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as fault:
        raise ValueError(f"no time zone {name!r}: give an IANA name, such as Europe/Berlin") from fault
