"""The port to the run store: what an attempt asks before it works, the answers it may get, and what it tells."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from worker.errors import Faults
from worker.events import History, Summary
from worker.ledger import Batch, Committed, Writing
from worker.scope import Scope, secrets, shown, whole
from worker.shards import Shard
from worker.source import Bounds, JsonKey
from worker.tally import Tally
from worker.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters of a run are to be replayed: all, those of one error type, or the one with this key."""

    error: str | None = None
    key: str | None = None
    """As the messages show it: its parts with commas between."""


def nothing_to_replay(run_id: str, selected: Selection) -> str:
    """Say that a run has no such dead letter."""
    narrowed = (f" of type {selected.error!r}" if selected.error else "") + (
        f" with key {selected.key!r}" if selected.key else ""
    )
    return f"{run_id} has no dead letter{narrowed}: python -m worker runs show {run_id} lists them"


def shard_id(run_id: str, number: int) -> str:
    """Give the name of a run's shard: no run key has a slash in it."""
    return f"{run_id}/{number}"


def divided_otherwise(run_key: str, shards: int | None) -> Faults:
    """Refuse to divide a run otherwise than it was."""
    if shards is None:
        return Faults([f"run key {run_key!r} was begun without shards: say it without them, or use another key"])
    return Faults(
        [f"run key {run_key!r} is a run in {shards} shards: say --shards {shards}, --shard I/{shards} or another key"]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The run that an attempt wants to work on."""

    job: str
    run_key: str
    lease: str
    """What only one attempt may hold at a time."""
    mode: str = "run"
    """`run`, `dry-run` or `canary`."""
    scope: dict[str, Any] = field(default_factory=dict)
    """As shown: secrets masked."""
    whole_scope: bytes = b"{}"
    """With its secrets; only a hash of it is kept."""
    task_arn: str | None = None
    host: str = ""
    version: str = ""
    replay: Selection | None = None
    """Work on the run's dead letters alone."""
    restart: bool = False
    """Begin anew, whatever the run has reached before."""
    shard: Shard | None = None
    """Work on this part of the run alone."""
    bounds: Bounds | None = None
    """Of a shard: the boundaries that it has found, frozen where it is the first to claim one of the run."""

    @property
    def run_id(self) -> str:
        """Give the name of the run, or of its shard."""
        return self.whole_id if self.shard is None else shard_id(self.whole_id, self.shard.number)

    @property
    def whole_id(self) -> str:
        """Give the run's name."""
        return f"{self.job}:{self.run_key}"

    @property
    def scope_hash(self) -> str:
        """Give what tells this scope from another."""
        return hashlib.sha256(self.whole_scope).hexdigest()


@dataclass(frozen=True, slots=True)
class Granted:
    """The run is the attempt's, and goes on from this checkpoint."""

    attempt: int
    source: str | None
    cursor: JsonKey | None
    open_keys: list[JsonKey]
    before: Tally
    """What the attempts before this one have finished."""
    forgiven: Tally = field(default_factory=Tally)
    """The part of it that the error budget does not count: an abort begins it anew."""
    replay: int | None = None
    """Which replay of the run's dead letters this is; None: it is an attempt at the run itself."""
    whole: bool = True
    """Whether all of the run's records will have been worked on when the attempt is: not if it replays a run that was cut short."""
    bounds: Bounds | None = None
    """Of a shard: where the run is divided, the same for all shards."""


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else holds the lease; whether it is alive shows when `sign` changes."""

    run_id: str
    attempt: int
    sign: tuple[int | None, datetime | None, int]


@dataclass(frozen=True, slots=True)
class Over:
    """The run has ended before, with this verdict."""

    verdict: Verdict
    ended_at: datetime | None


Answer: TypeAlias = Granted | Held | Over


def lease_of(job: str, scope: Scope | None, *, dry_run: bool = False) -> str:
    """Name the lease of a run; `scope` where runs of different scopes may go on at once.

    A dry run has one of its own: it must not keep a night's run from starting.
    """
    lease = f"{job} dry-run" if dry_run else job
    if scope is None:
        return lease
    # What is secret in the scope tells runs apart, and is not shown.
    hidden = f" {hashlib.sha256(whole(scope)).hexdigest()[:16]}" if secrets(scope) else ""
    return f"{lease} {shown(scope)}{hidden}"


class Store(Protocol):
    """The run store, as an attempt uses it."""

    lease_s: float
    transactional: bool
    """Whether a page commit is a transaction of PostgreSQL, whose connection the job's `write` is given."""

    async def check(self) -> list[str]:
        """Find what keeps the store from being used."""
        ...

    async def claim(self, claim: Claim, successor_of: Held | None = None) -> Granted | Held | Over:
        """Take the lease and begin an attempt, or say why not."""
        ...

    async def newer(self) -> str | None:
        """Say so when the store was made for a newer worker."""
        ...

    async def follow(self, run_id: str) -> Verdict | None:
        """Give the verdict with which a run that somebody holds came to rest; None while it is held."""
        ...

    async def stand_aside(self, claim: Claim, verdict: Verdict, detail: str) -> None:
        """Record that a run was not begun because another one is going on."""
        ...

    async def letters(self, after: JsonKey | None, size: int) -> Sequence[JsonKey]:
        """Give the keys of the next dead letters that the replay has selected."""
        ...

    async def mend(self, keys: Sequence[JsonKey]) -> None:
        """Forget dead letters whose records are gone."""
        ...

    async def heartbeat(self) -> None:
        """Renew the lease."""
        ...

    async def commit(self, batch: Batch, source: str, writing: Writing) -> Committed:
        """Commit a page."""
        ...

    async def end(self, summary: Summary) -> Summary | None:
        """Close the attempt and give the lease back; of the shard that was the last to end, give the whole run's summary."""
        ...

    async def bounds(self, claim: Claim) -> Bounds | None:
        """Give where a run in shards is divided; None where nobody has claimed one of them yet."""
        ...

    async def worked(self, connection: Any) -> bool:
        """Note, in the last page commit, that all records were worked on; tell whether that is so of the whole run."""
        ...

    async def told(self, run_id: str) -> None:
        """Note that the whole run's summary is out."""
        ...

    async def bury(self, run_id: str, shard: int, task_arn: str | None = None) -> Summary | None:
        """Take a shard for ended whose process is known to be dead, and is not going to be started again.

        With its task's ARN, only where no later attempt has begun. Give the whole run's summary where all shards have ended
        with it, or where it was the one that died before it could tell.
        """
        ...

    async def history(self, claim: Claim) -> History | None:
        """Give the median of the runs before this one."""
        ...

    def is_refusal(self, error: Exception) -> bool:
        """Tell whether a failed write may be one result's own fault."""
        ...
