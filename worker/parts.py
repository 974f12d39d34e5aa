"""What an attempt is made of: the front door builds the parts, the attempt uses them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.budget import ErrorBudget
from worker.claim import Claim, Selection, Store, lease_of
from worker.events import Cause, Reporter, Task
from worker.job import Job, Run
from worker.limits import Limits
from worker.mask import Mask
from worker.rate import RateLimit
from worker.scope import shown, whole
from worker.shards import Shard
from worker.sharing import Sharing
from worker.source import Source
from worker.stop import Stop, StopPlan


@dataclass(kw_only=True)
class Parts:
    """What the front door builds for an attempt."""

    job: Job[Any]
    run: Run[Any]
    source: Source
    store: Store
    limits: Limits
    rates: dict[str, RateLimit]
    sharing: Sequence[Sharing] = ()
    """Keeps those of the rates that are shared with other tasks at this one's portion."""
    stop: Stop
    plan: StopPlan
    mask: Mask
    task: Task = field(default_factory=Task)
    cause: Cause = field(default_factory=Cause)
    version: str = ""
    host: str = ""
    reporter: Reporter = field(default_factory=Reporter)
    links: dict[str, str] = field(default_factory=dict)
    max_records: int | None = None
    max_affected: int | None = None
    """What somebody allows instead of the job's `max_affected`."""
    replay: Selection | None = None
    restart: bool = False
    wait: bool = False
    """Where the run is going on already: follow it to its end instead of ending at once."""
    shard: Shard | None = None
    """Which part of the run it works on; `limits` are its share already."""
    lasting: bool = True
    """Whether the run store outlives the attempt, so that there is a run to go on with."""
    connect_timeout_s: float = 60.0
    patience_s: float = 300.0

    @property
    def mode(self) -> str:
        """Say what the attempt is: a `run`, a `dry-run`, or a `canary` of so many records."""
        return "dry-run" if self.run.dry_run else "canary" if self.max_records is not None else "run"

    @property
    def sink(self) -> str:
        """Say what becomes of results."""
        if self.job.write is None:
            return ""
        if self.run.dry_run:
            return "nothing is written: a dry run"
        if self.job.idempotent:
            return "at-least-once: written before the page commit, and again after a crash in between"
        return "once: written inside the page commit"

    @property
    def main_rate(self) -> RateLimit:
        """Give the rate limit whose permits the tries take."""
        return self.rates[self.limits.rate.name if self.limits.rate else "rate"]

    def claim(self) -> Claim:
        """Say what the attempt wants to work on."""
        run = self.run
        return Claim(
            job=run.job,
            run_key=run.run_key,
            lease=lease_of(run.job, run.scope if self.job.one_per_scope else None, dry_run=run.dry_run),
            mode=self.mode,
            scope=shown(run.scope),
            whole_scope=whole(run.scope),
            task_arn=self.task.arn,
            host=self.host,
            version=self.version,
            replay=self.replay,
            restart=self.restart,
            shard=self.shard,
        )

    @property
    def errors(self) -> ErrorBudget:
        """Give what may fail."""
        return self.job.errors if self.shard is None else self.shard.budget(self.job.errors)

    @property
    def most_affected(self) -> int | None:
        """Give how many changes the run, or its shard, may make over all its attempts."""
        most: int | None = self.job.max_affected if self.max_affected is None else self.max_affected
        return most if most is None or self.shard is None else self.shard.share(most)

    def masked(self, texts: Iterable[str]) -> list[str]:
        """Give texts without secrets, each once."""
        return list(dict.fromkeys(map(self.mask, texts)))
