"""What an attempt asks of the run store before it works, and the answers it may get."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from worker.source import JsonKey
from worker.tally import Tally
from worker.verdict import Verdict


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
    restart: bool = False
    """Begin anew, whatever the run has reached before."""

    @property
    def run_id(self) -> str:
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
