"""The counts of a run: kept in the process, saved with every page commit."""

from dataclasses import dataclass, field, replace
from typing import Any

_MOST_REASONS = 50
_OTHERS = "other reasons"


_COUNTS = ("read", "done", "failed", "retries", "throttled")


@dataclass(slots=True)
class Tally:
    """Count records by outcome, and tries; always read = done + skipped + failed + unfinished."""

    read: int = 0
    done: int = 0
    failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    throttled: int = 0

    @property
    def skips(self) -> int:
        """Count the skipped records, whatever the reason."""
        return sum(self.skipped.values())

    @property
    def finished(self) -> int:
        """Count the records that have an outcome."""
        return self.done + self.skips + self.failed

    @property
    def unfinished(self) -> int:
        """Count the records that were read and have no outcome yet."""
        return self.read - self.finished

    @property
    def failed_share(self) -> float:
        """Give the share of finished records that failed, 0 to 1."""
        return self.failed / self.finished if self.finished else 0.0

    def skip(self, reason: str, count: int = 1) -> None:
        """Count records skipped for a reason; beyond the first fifty reasons, under one name."""
        if reason not in self.skipped and len(self.skipped) >= _MOST_REASONS:
            reason = _OTHERS
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def copy(self) -> "Tally":
        """Give a snapshot that no longer changes with this one."""
        return replace(self, skipped=dict(self.skipped))

    def plus(self, other: "Tally") -> "Tally":
        """Add two tallies, as an attempt's to that of the attempts before it."""
        total = self.copy()
        for name in _COUNTS:
            setattr(total, name, getattr(self, name) + getattr(other, name))
        for reason, count in other.skipped.items():
            total.skip(reason, count)
        return total

    def minus(self, other: "Tally") -> "Tally":
        """Give what came after a tally of the same run."""
        rest = Tally(**{name: getattr(self, name) - getattr(other, name) for name in _COUNTS})
        for reason, count in self.skipped.items():
            rest.skip(reason, count - other.skipped.get(reason, 0))
        return rest

    def after_replay(self, attempt: "Tally") -> "Tally":
        """Give a run's counts after an attempt that worked on its failed records alone."""
        total = self.plus(attempt)
        total.read = self.read
        total.failed -= attempt.finished
        return total

    def to_json(self) -> dict[str, Any]:
        """Give the form that the run store and the logs hold."""
        return {
            "read": self.read,
            "done": self.done,
            "failed": self.failed,
            "skipped": dict(self.skipped),
            "unfinished": self.unfinished,
            "retries": self.retries,
            "throttled": self.throttled,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any] | None) -> "Tally":
        """Read what `to_json` gave; None is an empty tally."""
        if not data:
            return cls()
        return cls(**{name: value for name, value in data.items() if name != "unfinished"})
