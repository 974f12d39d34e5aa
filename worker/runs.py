"""A run as the run store tells of it: what doors and reports may know."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from worker.tally import Tally

PENDING = "pending"
"""Asked for; no attempt has taken it up yet."""

RUNNING = "running"
"""An attempt works on it: its lease has not expired."""

WHOLE = hashlib.sha256(b"{}").hexdigest()
"""The hash of the empty scope: a run of all there is."""


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
    source: str | None = None
    """The key columns that its cursor is by: it fits no other source."""
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
    shards: int | None = None
    """How many parts it is worked on in; None: it is not divided."""
    parts: "tuple[RunView, ...]" = ()
    """Those of them that were begun, filled in where one run is asked for; each with its number in its name: `job:run-key/3`."""

    @property
    def live(self) -> bool:
        """Tell whether an attempt works on the run, or is about to."""
        return self.status in (PENDING, RUNNING)


class Place(NamedTuple):
    """A run's place among all runs, newest first: where a page of them ends."""

    created_at: datetime
    run_id: str


class RunPage(NamedTuple):
    """Some runs, newest first, and where the next of them begin; None: there are no more."""

    runs: list[RunView]
    next: Place | None


class Reader(Protocol):
    """Answers questions about runs; it changes nothing."""

    async def find(self, run_id: str) -> RunView | None:
        """Give a run with all its attempts; None where there is none of that name."""
        ...

    async def scope_hash(self, run_id: str) -> str | None:
        """Give what tells a run's scope from another, secret fields included: nothing to be shown."""
        ...

    async def holder(self, lease: str) -> RunView | None:
        """Give the run that holds this lease now: what `lease_of` names."""
        ...

    async def latest(self, job: str | None, limit: int) -> list[RunView]:
        """Give the latest runs, of one job or of all, newest first."""
        ...

    async def page(self, job: str | None, status: str | None, before: Place | None, limit: int) -> RunPage:
        """Give the next runs before a place (None: the latest), of one job or of all, in one status or in any.

        There may be fewer of them than asked for, and more behind them all the same: `next` tells.
        """
        ...

    async def latest_unfinished(self, job: str) -> RunView | None:
        """Give the job's latest run that was begun and has not succeeded."""
        ...

    async def by_task(self, job: str, task_arn: str) -> RunView | None:
        """Give the job's run whose last attempt is that task's, with all its attempts; among the latest hundred."""
        ...

    async def succeeded(self, job: str, since: datetime) -> RunView | None:
        """Give the run of the whole job that succeeded last, of those that were begun since then."""
        ...

    async def dead_letters(self, run_id: str, limit: int, after: list[Any] | None = None) -> list[LetterView]:
        """Give a run's failed records in the order of their keys, those behind a key."""
        ...


def own_tallies(attempts: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], run: Mapping[str, Any]) -> list[Any]:
    """Give each attempt's counts, from the run's before it and its own.

    What one could not say itself, because it was killed or still works, follows from the run's counts before the next.
    """
    befores = [Tally.from_json(dict(before)) for before, _ in attempts] + [Tally.from_json(dict(run))]
    return [
        dict(own) or after.minus(before).to_json()
        for (_, own), before, after in zip(attempts, befores, befores[1:], strict=False)
    ]
