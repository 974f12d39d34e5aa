"""A run as the run store tells of it: what doors and reports may know."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

PENDING = "pending"
"""Asked for; no attempt has taken it up yet."""

RUNNING = "running"
"""An attempt works on it: its lease has not expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptView:
    """One process that worked on a run."""

    number: int
    started_at: datetime
    ended_at: datetime | None = None
    verdict: str | None = None
    """A word of `Verdict`; None while it works, or when it was killed and nobody took over yet."""
    exit_code: int | None = None
    detail: str = ""
    task_arn: str | None = None
    host: str = ""
    replay: int | None = None
    """Which replay of the run's dead letters it worked on; None: on the run itself."""
    tally: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterView:
    """A failed record, kept with its run."""

    key: list[Any]
    type: str
    message: str
    tries: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run over all its attempts, now. `status` is a verdict's word, or one of the two above."""

    run_id: str
    job: str
    run_key: str
    scope: dict[str, Any] = field(default_factory=dict)
    """Fields that differ from their defaults, as JSON values, secrets masked: what `scope.shown` gives."""
    dry_run: bool = False
    status: str
    attempt: int = 0
    tally: dict[str, Any] = field(default_factory=dict)
    """The run's `Tally.to_json`, as last committed."""
    cursor: list[Any] | None = None
    created_at: datetime
    heartbeat_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    detail: str = ""
    summary: dict[str, Any] | None = None
    duration_s: float | None = None
    """How long its attempts have worked so far, in seconds."""
    attempts: tuple[AttemptView, ...] = ()
    """Filled in where one run is asked for."""
    faults: tuple[str, ...] = ()
    """Why its last attempt could not start."""

    @property
    def live(self) -> bool:
        """Tell whether an attempt works on the run, or is about to."""
        return self.status in (PENDING, RUNNING)
