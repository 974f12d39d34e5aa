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
    repeated: Counter[str] = field(default_factory=Counter)
    """Calls to the outside beyond those of an undisturbed run, by key, over all runs."""
    most_repeated: dict[str, float] = field(default_factory=dict)
    """The most calls that one disturbance cost, by its kind, as the mean over its run."""

    def __str__(self) -> str:
        told = ", ".join(f"{count} {what}" for what, count in self.disturbed.items())
        again = ""
        if self.calls:
            most = max(self.repeated.values(), default=0)
            again = (
                f"; {self.repeated.total():,} of {self.calls * self.runs:,} calls repeated, one at most {most} times"
            )
        return (
            f"{self.job}: {told or 'undisturbed'}: {self.runs} runs of {self.records:,} records, "
            f"{self.attempts} attempts{again}; seed {self.seed}"
        )
