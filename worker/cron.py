"""EventBridge's cron expressions: the days and the times of day that their six fields mean."""

from calendar import monthrange, weekday
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, time
from functools import lru_cache

Days = Callable[[int, int], set[int]]
"""The days of a month, by its year and number."""


@dataclass(frozen=True, slots=True)
class Field:
    """One of the six: what its numbers may be, and the names that stand for them."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int:
        """Read a number, or a name that stands for one."""
        if text in self.names:
            return self.names.index(text) + self.low
        if not text.isdecimal() or not self.low <= int(text) <= self.high:
            raise ValueError(f"{self.name}: {text!r} is not between {self.low} and {self.high}")
        return int(text)

    def numbers(self, text: str) -> set[int]:
        """Read a list of numbers, ranges and steps; a range may go over the end, as FRI-MON does."""
        return {number for part in text.split(",") for number in self._part(part)}

    def _part(self, part: str) -> list[int]:
        span, slash, step = part.partition("/")
        if slash and not (step.isdecimal() and int(step)):
            raise ValueError(f"{self.name}: {part!r} steps by no whole number above 0")
        low, dash, high = span.partition("-")
        first = self.low if span == "*" else self.number(low)
        last = self.number(high) if dash else self.high if slash or span == "*" else first
        round_ = self.high - self.low + 1
        through = range(first, last + 1 if last >= first else last + 1 + round_, int(step or 1))
        return [(number - self.low) % round_ + self.low for number in through]


MINUTES, HOURS = Field("minutes", 0, 59), Field("hours", 0, 23)
DAY_OF_MONTH = Field("day-of-month", 1, 31)
MONTHS = Field("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"))
DAY_OF_WEEK = Field("day-of-week", 1, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))
YEARS = Field("year", 1970, 2199)


@dataclass(frozen=True, slots=True)
class Calendar:
    """What an expression means: times of day, in order, on the days of some months of some years."""

    times: tuple[time, ...]
    days: Days
    months: tuple[int, ...]
    years: tuple[int, ...]

    def dates(self, start: date, *, back: bool = False) -> Iterator[date]:
        """Give the days it fires on, in order: from that one on, or back from it."""
        step = -1 if back else 1
        for year in self.years[::step]:
            if (year - start.year) * step < 0:
                continue
            for month in self.months[::step]:
                for day in sorted(self.days(year, month))[::step]:
                    if (date(year, month, day) - start).days * step >= 0:
                        yield date(year, month, day)


@lru_cache
def read(expression: str) -> Calendar:
    """Read an expression; ValueError says which field is wrong, and why."""
    fields = expression.upper().split()
    if len(fields) != 6:
        raise ValueError(f"EventBridge's cron has six fields (min hour day month weekday year): {expression!r}")
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") == (of_week == "?"):
        raise ValueError(f"one of day-of-month and day-of-week is ?, and only one: {expression!r}")
    try:
        at = sorted(MINUTES.numbers(minutes))
        return Calendar(
            tuple(time(hour, minute) for hour in sorted(HOURS.numbers(hours)) for minute in at),
            _of_week(of_week) if of_month == "?" else _of_month(of_month),
            tuple(sorted(MONTHS.numbers(months))),
            tuple(sorted(YEARS.numbers(years))),
        )
    except ValueError as fault:
        raise ValueError(f"{fault}, in {expression!r}") from None


def _of_month(text: str) -> Days:
    """Read the days of the month: numbers, L (the last), L-3 (so many before it), 15W (the weekday nearest it), LW."""
    if text in ("LW", "WL"):
        return lambda year, month: {_nearest_weekday(year, month, _length(year, month))}
    if text.startswith("L"):
        before = DAY_OF_MONTH.number(text[1:].removeprefix("-")) if text != "L" else 0
        return lambda year, month: {day for day in (_length(year, month) - before,) if day > 0}
    if text.endswith("W"):
        near = DAY_OF_MONTH.number(text[:-1])
        return lambda year, month: {_nearest_weekday(year, month, near)} if near <= _length(year, month) else set()
    days = DAY_OF_MONTH.numbers(text)
    return lambda year, month: {day for day in days if day <= _length(year, month)}


def _of_week(text: str) -> Days:
    """Read the days of the week: numbers, L (Saturday), 6L (the month's last Friday), 3#2 (its second Tuesday)."""
    if "#" in text:
        name, _, nth = text.partition("#")
        number, place = DAY_OF_WEEK.number(name), Field("day-of-week, after #", 1, 5).number(nth)
        return lambda year, month: set(_weekdays(year, month, {number})[place - 1 : place])
    if text.endswith("L") and text != "L":
        number = DAY_OF_WEEK.number(text[:-1])
        return lambda year, month: {_weekdays(year, month, {number})[-1]}
    days = DAY_OF_WEEK.numbers("SAT" if text == "L" else text)
    return lambda year, month: set(_weekdays(year, month, days))


def _length(year: int, month: int) -> int:
    return monthrange(year, month)[1]


def _weekdays(year: int, month: int, numbers: set[int]) -> list[int]:
    """Give the month's days that are one of those of the week (1 is Sunday), in order."""
    return [day for day in range(1, _length(year, month) + 1) if (weekday(year, month, day) + 1) % 7 + 1 in numbers]


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """Give the day from Monday to Friday that is nearest, in the same month."""
    last = _length(year, month)
    match weekday(year, month, day):
        case 5:
            return day - 1 if day > 1 else day + 2
        case 6:
            return day + 1 if day < last else day - 2
    return day
