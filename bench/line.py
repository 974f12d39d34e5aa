"""What a line of the table holds, and how two sides are measured in turn."""

import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: what was measured of the worker, against what, and whether that is what was to be reached."""

    number: str
    what: str
    worker: float
    against: str = ""
    baseline: float | None = None
    unit: str = ""
    ratio: float
    """What is judged: worker / baseline, or a figure of its own."""
    spread: float = 0.0
    """The widest that single rounds were from the ratio, as a share of it."""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        """Tell whether the target is reached; a line without one is only shown."""
        return (self.at_least is None or self.ratio >= self.at_least) and (
            self.at_most is None or self.ratio <= self.at_most
        )


Measure = Callable[[], Awaitable[float]]


async def in_turn(sides: Sequence[Measure], rounds: int) -> list[list[float]]:
    """Measure every side once a round; give each side's figures."""
    figures: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for seen, side in zip(figures, sides, strict=True):
            seen.append(await side())
    return figures


def compared(
    number: str,
    what: str,
    worker: Sequence[float],
    against: str,
    baseline: Sequence[float],
    *,
    unit: str = "/s",
    at_least: float | None = None,
    at_most: float | None = None,
) -> Line:
    """Compare two sides by the median of the rounds' ratios: what else the machine does hits both sides of a round."""
    ratios = [ours / theirs for ours, theirs in zip(worker, baseline, strict=True)]
    ratio = statistics.median(ratios)
    return Line(
        number=number,
        what=what,
        worker=statistics.median(worker),
        against=against,
        baseline=statistics.median(baseline),
        unit=unit,
        ratio=ratio,
        spread=max(abs(one - ratio) for one in ratios) / ratio,
        at_least=at_least,
        at_most=at_most,
    )


def alone(
    number: str,
    what: str,
    figures: Sequence[float],
    *,
    unit: str = "",
    at_least: float | None = None,
    at_most: float | None = None,
) -> Line:
    """Judge figures that need no other side."""
    middle = statistics.median(figures)
    spread = max(abs(one - middle) for one in figures) / middle if middle else 0.0
    return Line(
        number=number,
        what=what,
        worker=middle,
        unit=unit,
        ratio=middle,
        spread=spread,
        at_least=at_least,
        at_most=at_most,
    )
