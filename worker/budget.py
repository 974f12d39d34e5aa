"""How many failures a run may have before going on would be wrong."""

from collections import deque
from dataclasses import dataclass

from worker.tally import Tally


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """Abort the run when failures pass `count`, or `share` (0 to 1) of the run's or of the last `window` records.

    Shares are judged from `sample` records on. A run that reached its end succeeds with up to `tolerated` of its records
    failed (a share, 0 to 1); above, it has completed with failures.
    """

    count: int | None = None
    share: float | None = 0.25
    window: int = 1_000
    sample: int = 50
    tolerated: float = 0.0

    def __post_init__(self) -> None:
        faults = [
            f"{name} is a share, from 0 to 1, not {value!r}"
            for name, value in (("share", self.share), ("tolerated", self.tolerated))
            if value is not None and not 0 <= value <= 1
        ]
        if self.count is not None and self.count < 0:
            faults.append(f"count must be 0 or more, not {self.count!r}")
        if not 1 <= self.sample <= self.window:
            faults.append(
                f"window={self.window!r} never holds sample={self.sample!r} records: 1 <= sample <= window is needed"
            )
        if faults:
            raise ValueError("; ".join(faults))

    def tolerates(self, tally: Tally) -> bool:
        """Tell whether a run that reached its end with this tally has succeeded."""
        return tally.failed_share <= self.tolerated


class Spending:
    """Watch a run's failures against its budget; it costs nothing while records succeed."""

    def __init__(self, budget: ErrorBudget) -> None:
        self._budget = budget
        self._failures: deque[int] = deque(maxlen=budget.window)  # how many records were finished at each failure

    def failed(self, run: Tally, attempt: Tally) -> str | None:
        """Note a failure and say why the run must end; None while it may go on.

        `run` counts over all attempts (so the budget survives a crash), `attempt` over this one.
        """
        budget, finished = self._budget, attempt.finished
        self._failures.append(finished)
        while self._failures[0] <= finished - budget.window:
            self._failures.popleft()
        if budget.count is not None and run.failed > budget.count:
            return f"{run.failed:,} records failed, {budget.count:,} are allowed"
        if budget.share is None:
            return None
        recent = min(finished, budget.window)
        for failures, of, which in ((run.failed, run.finished, ""), (len(self._failures), recent, "the last ")):
            if of >= budget.sample and failures > budget.share * of:
                shares = f"({percent(failures / of)}), {percent(budget.share)} is allowed"
                return f"{failures:,} of {which}{of:,} records failed {shares}"
        return None


def percent(share: float) -> str:
    """Write a share (0 to 1) with three digits at most: `33.3 %`."""
    return f"{100 * share:.3g} %"
