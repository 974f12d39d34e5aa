"""What a trial has found out: how often what was disturbed, and what it cost."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Report:
    """One call of `kill_anywhere`, in numbers."""

    job: str
    seed: int
    records: int = 0
    """Of the run."""
    calls: int = 0
    """That an undisturbed run made to the outside."""
    duration_s: float = 0.0
    """Of the undisturbed run, process start included."""
    runs: int = 0
    attempts: int = 0
    disturbed: Counter[str] = field(default_factory=Counter)
    """How often it was disturbed, by what."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """How the attempts ended; "killed" where they could not say."""
    repeated: int = 0
    """Calls to the outside beyond those of undisturbed runs."""
    most_of_one: int = 0
    """The most often that one call was repeated in one run."""
    most_at_once: float = 0.0
    """The most calls that one disturbance cost: the mean over those of its run."""

    def add(self, kind: str, times: int, attempts: int, verdicts: Counter[str], repeated: Counter[str]) -> None:
        """Add a run that was disturbed so many times in one way."""
        self.runs += 1
        self.attempts += attempts
        self.disturbed[kind] += times
        self.verdicts += verdicts
        self.repeated += repeated.total()
        self.most_of_one = max(self.most_of_one, *repeated.values(), 0)
        self.most_at_once = max(self.most_at_once, repeated.total() / max(1, times))

    def __str__(self) -> str:
        told = ", ".join(f"{count} {what}" for what, count in self.disturbed.items())
        again = (
            f"; {self.repeated:,} of {self.calls * self.runs:,} calls repeated, one at most {self.most_of_one} times"
        )
        return (
            f"{self.job}: {told or 'undisturbed'}: {self.runs} runs of {self.records:,} records, "
            f"{self.attempts} attempts{again if self.calls else ''}; seed {self.seed}"
        )
