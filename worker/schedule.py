"""When a job is meant to run: what its task's schedule must say, and what the auditor expects."""

from dataclasses import dataclass
from datetime import timedelta


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
    """Run at a fixed interval, as EventBridge's `rate(...)` does; `str()` gives that expression."""

    minutes: int = 0
    hours: int = 0

    def __post_init__(self) -> None:
        if self.minutes + 60 * self.hours < 1:
            raise ValueError("a schedule's interval is at least one minute: Every(minutes=5)")

    @property
    def interval(self) -> timedelta:
        """Give the time between two runs."""
        return timedelta(minutes=self.minutes, hours=self.hours)

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
        if len(self.expression.split()) != 6:
            raise ValueError(
                f"EventBridge's cron has six fields (min hour day month weekday year): {self.expression!r}"
            )

    def __str__(self) -> str:
        return f"cron({self.expression}) {self.zone}"
