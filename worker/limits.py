"""How much a job may do at once, how fast, and for how long one record may take: declarations, no mechanism."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls in *any* window of `per` seconds; named after whom it protects.

    `shared`: all tasks that name it so keep it together, of whatever job; each has a portion of it, as it needs.
    """

    count: int
    per: float = 1.0
    name: str = "rate"
    shared: bool = False

    def __post_init__(self) -> None:
        given: tuple[Any, Any] = self.count, self.per
        if not isinstance(given[0], int) or not isinstance(given[1], (int, float)):
            said = "Rate({!r}, per={!r})".format(*given)
            raise ValueError(f"a rate is a whole number of calls in a number of seconds, as Rate(5, per=2), not {said}")
        if self.count < 1 or self.per <= 0:
            raise ValueError(f"a rate is at least one call in a positive time: Rate({self.count}, per={self.per})")
        if self.shared and self.name == "rate":
            raise ValueError(f"a shared rate is known by its name: Rate({self.count}, name='stripe', shared=True)")

    @property
    def per_second(self) -> float:
        """Give the mean number of calls a second that the limit allows."""
        return self.count / self.per

    def __str__(self) -> str:
        each = f"{self.count}/s" if self.per == 1 else f"{self.count} in {self.per:g} s"
        return f"{each} shared as {self.name!r}" if self.shared else each


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound a job's load.

    `concurrency` records in flight · `rate` tries of `process` (a permit is taken before each, retries included) · `rates`
    further named limits that the job takes itself (`await run.permit("search")`) · `page_size` rows a query · `max_age`
    seconds between reading a record and handing it to `process` · `record_timeout` seconds for one try.
    """

    concurrency: int = 64
    rate: Rate | None = None
    rates: tuple[Rate, ...] = ()
    page_size: int = 500
    max_age: float | None = None
    record_timeout: float = 30.0

    def __post_init__(self) -> None:
        if wrong := list(self._wrong_kinds()):
            raise ValueError("; ".join(wrong))
        names = [rate.name for rate in self.named]
        faults = [
            f"{name} must be {at_least} or more, not {value!r}"
            for name, value, at_least in (
                ("concurrency", self.concurrency, 1),
                ("page_size", self.page_size, 1),
                ("max_age", self.max_age if self.max_age is not None else 1, 0.1),
                ("record_timeout", self.record_timeout, 0.001),
            )
            if value < at_least
        ] + [f"two rates are named {name!r}" for name in sorted({name for name in names if names.count(name) > 1})]
        if self.rate is not None and self.max_age is not None and self.rate.per_second * self.max_age < 2:
            faults.append(
                f"max_age={self.max_age:g} s is over while a record waits for its turn at {self.rate}: allow two calls"
            )
        if faults:
            raise ValueError("; ".join(faults))

    def _wrong_kinds(self) -> Iterator[str]:
        """Find values of another type than is declared: a job file says them, and nothing else checks it."""
        given: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("concurrency", "page_size"):
            if not isinstance(given[name], int):
                yield f"{name} must be a whole number, not {given[name]!r}"
        for name in ("max_age", "record_timeout"):
            if not isinstance(given[name], (int, float)) and (name, given[name]) != ("max_age", None):
                yield f"{name} must be a number of seconds, not {given[name]!r}"
        if not isinstance(given["rate"], (Rate, type(None))):
            yield f"rate must be a Rate, not {given['rate']!r}: Rate({given['rate']!r})"
        if not isinstance(given["rates"], tuple) or not all(isinstance(rate, Rate) for rate in given["rates"]):
            yield f"rates must be a tuple of Rates, not {given['rates']!r}: (Rate(5, name='search'),)"

    def tuned(self, *, concurrency: int | None, rate: float | None, page_size: int | None) -> "Limits":
        """Give these limits with what the environment overrides; rate is in calls a second, 0 for none. Raises ValueError as the class does."""
        tuned = self
        if concurrency is not None:
            tuned = replace(tuned, concurrency=concurrency)
        if page_size is not None:
            tuned = replace(tuned, page_size=page_size)
        if rate is not None:
            tuned = replace(tuned, rate=_per_second(rate, self.rate or Rate(1)) if rate else None)
        return tuned

    @property
    def named(self) -> tuple[Rate, ...]:
        """Give all its rates, the main one first."""
        return ((self.rate,) if self.rate else ()) + self.rates

    @property
    def page(self) -> int:
        """Give the page size that the rate can serve before its records are too old (two pages are held)."""
        if self.rate is None or self.max_age is None:
            return self.page_size
        return min(self.page_size, int(self.rate.per_second * self.max_age / 2))


def _per_second(rate: float, before: Rate) -> Rate:
    """Give a rate in whole calls: 2.5/s are 2 in 0.8 s, for a window of one call leaves no room to make up for a late timer.

    A shared one keeps its windows: those who share it count in the same.
    """
    if before.shared:
        if rate * before.per < 1:
            raise ValueError(
                f"{rate:g}/s is less than a call in the {before.per:g} s in which {before.name!r} is shared"
            )
        return replace(before, count=int(rate * before.per))
    count = max(1, int(rate))
    return replace(before, count=count, per=count / rate)
