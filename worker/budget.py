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

    def tolerates(self, tally: Tally) -> bool:
        """Tell whether a run that reached its end with this tally has succeeded."""
        return tally.failed_share <= self.tolerated


class Spending:
    """Watch a run's failures against its budget; the run's own counts survive a crash in its tally."""

    def __init__(self, budget: ErrorBudget) -> None:
        self._budget = budget
        self._recent: deque[bool] = deque(maxlen=budget.window)
        self._recent_failed = 0

    def finished(self, failed: bool) -> None:
        """Note one more finished record."""
        if len(self._recent) == self._recent.maxlen:
            self._recent_failed -= self._recent[0]
        self._recent.append(failed)
        self._recent_failed += failed

    def overdrawn(self, run: Tally) -> str | None:
        """Say why the run must end, given the tally over all its attempts; None while it may go on."""
        budget = self._budget
        if budget.count is not None and run.failed > budget.count:
            return f"{run.failed:,} records failed, {budget.count:,} are allowed"
        if budget.share is None:
            return None
        if run.finished >= budget.sample and run.failed_share > budget.share:
            return f"{run.failed:,} of {run.finished:,} records failed ({run.failed_share:.0%}), {budget.share:.0%} is allowed"
        seen = len(self._recent)
        if seen >= budget.sample and self._recent_failed > budget.share * seen:
            share = self._recent_failed / seen
            return f"{self._recent_failed:,} of the last {seen:,} records failed ({share:.0%}), {budget.share:.0%} is allowed"
        return None
