"""What an attempt tells the outside while it goes on, as data; who listens is the front door's choice."""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.limits import Limits
from worker.stop import StopPlan
from worker.tally import Tally
from worker.verdict import Verdict

_GRACE_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Where the attempt runs: all empty outside ECS. Memory in bytes, CPU in vCPU."""

    arn: str | None = None
    family: str | None = None
    revision: str | None = None
    cluster: str | None = None
    region: str | None = None
    memory_limit: int | None = None
    cpu_limit: float | None = None
    log_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why the attempt was started, as the launcher says it; all empty where nobody said."""

    trigger: str | None = None
    """`scheduler`, `rule`, `s3`, `sqs`, `backlog`, `hand`, `admin`, `resume` or `pipeline`."""
    correlation_id: str | None = None
    """The launch's name in ECS, in the run store and in the launcher's logs."""
    scheduled_time: str | None = None
    started_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """An attempt begins: who it is and what it is going to do."""

    job: str
    run_id: str
    run_key: str
    attempt: int
    scope: dict[str, Any] = field(default_factory=dict)
    """Fields that differ from their defaults, secrets masked."""
    dry_run: bool = False
    max_records: int | None = None
    max_affected: int | None = None
    """What somebody allowed instead of the job's `max_affected`."""
    replay: int | None = None
    """Which replay of the run's dead letters it is; None: an attempt at the run itself."""
    shard: str | None = None
    resumed_from: list[Any] | None = None
    """The cursor that the attempt goes on from; None: the start."""
    source: str = ""
    """The source's order and promise, in words."""
    sink: str = ""
    """What becomes of results, in words; empty for a job that writes none."""
    limits: Limits = field(default_factory=Limits)
    stop_plan: StopPlan = field(default_factory=lambda: StopPlan.within(30))
    deadline_s: float = 3600.0
    task: Task = field(default_factory=Task)
    cause: Cause = field(default_factory=Cause)
    version: str = ""
    started_at: datetime
    before: Tally = field(default_factory=Tally)
    """What the attempts before this one have committed."""
    tolerated: float = 0.0
    """The share of failed records, 0 to 1, with which the run succeeds all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGroup:
    """Errors of one fingerprint: how many records failed with it, and one of them to look at."""

    fingerprint: str
    type: str
    message: str
    """The first one's message, secrets masked."""
    sample_key: str
    count: int
    stack: str | None = None
    """Of a bug in the job, when its first record fails: the whole stack, secrets masked. No summary has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the attempt is, now. Times in seconds, rate in finished records a second over the last few seconds."""

    elapsed_s: float
    tally: Tally
    total: int | None = None
    """About how many records this attempt has to read; None while unknown."""
    rate: float = 0.0
    eta_s: float | None = None
    in_flight: int = 0
    limited_by: str = ""
    """What holds it back: rate, throttled, concurrency, source, sink, open keys, retries, database (away); empty while unknown."""
    last_error: str | None = None
    oldest_age_s: float = 0.0
    throttled_s: float = 0.0
    """Time that every slot was paused because the other side asked for it."""
    stopping: str | None = None
    """Why it is stopping; None while it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A page commit went through."""

    number: int
    records: int
    written: int
    cursor: list[Any] | None
    open_keys: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The median of the run's predecessors (at most the last ten that succeeded)."""

    runs: int
    duration_s: float
    records: float
    failed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEnd:
    """How one shard of a run ended, over all its attempts."""

    shard: str
    verdict: Verdict
    detail: str
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What an attempt's records took in all, in seconds and permits: plans of larger runs are made from it."""

    in_flight_s: float = 0.0
    """The time of one record after the other in `process`, as looked at ten times a second."""
    cpu_s: float = 0.0
    """Without the start of the process."""
    reading_s: float = 0.0
    committing_s: float = 0.0
    calls: dict[str, float] = field(default_factory=dict)
    """Permits taken of each limit, by its name."""

    def plus(self, other: "Spent") -> "Spent":
        """Add what another took, as one shard's to those of others."""
        return Spent(
            in_flight_s=self.in_flight_s + other.in_flight_s,
            cpu_s=self.cpu_s + other.cpu_s,
            reading_s=self.reading_s + other.reading_s,
            committing_s=self.committing_s + other.committing_s,
            calls=dict(Counter(self.calls) + Counter(other.calls)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How the attempt ended: everything that the reports say. Memory in bytes, CPU in seconds of one core."""

    start: Start
    verdict: Verdict
    followed: Verdict | None = None
    """The verdict of the attempt that this one waited for instead of working itself."""
    detail: str = ""
    """Why, in one sentence: the stop's reason, the spent budget, the crash, the other run."""
    ended_at: datetime
    duration_s: float = 0.0
    tally: Tally = field(default_factory=Tally)
    """This attempt's."""
    run_tally: Tally = field(default_factory=Tally)
    """The run's, over all attempts."""
    total: int | None = None
    rate: float = 0.0
    """Finished records a second over the whole attempt."""
    oldest_age_s: float = 0.0
    throttled_s: float = 0.0
    limited_by: str = ""
    peak_memory: int = 0
    cpu_s: float = 0.0
    commits: int = 0
    spent: Spent = field(default_factory=Spent)
    history: History | None = None
    errors: tuple[ErrorGroup, ...] = ()
    """All groups, largest first (bounded)."""
    samples: tuple[str, ...] = ()
    """Of a dry run: what would have been done, five of it."""
    links: dict[str, str] = field(default_factory=dict)
    """Label to URL: logs, task, console, where known."""
    counters: dict[str, float] = field(default_factory=dict)
    """What the job and its source have counted beside the records."""
    portions: dict[str, int] = field(default_factory=dict)
    """Of limits that are shared with other tasks, by name: the calls a window that were this task's last."""
    next_command: str | None = None
    """The command that comes next: resume, replay."""
    shards: tuple[ShardEnd, ...] = ()
    """Of a run in shards, told once the last of them has ended: all of them."""

    @property
    def exit_code(self) -> int:
        """Give the process's exit code: that of whom it followed, where it followed somebody."""
        return (self.followed or self.verdict).exit_code


class Reporter:
    """Listen to an attempt; every method may be left as it is. None may raise, `ended` takes at most its budget."""

    def started(self, start: Start) -> None:
        """Hear that the attempt begins."""

    def progress(self, progress: Progress) -> None:
        """Hear how far it is: about twice a second."""

    def committed(self, commit: Commit) -> None:
        """Hear of a page commit."""

    def failed(self, group: ErrorGroup) -> None:
        """Hear of a failed record: the first of its group, and then at each power of ten."""

    def retried(self, error: str) -> None:
        """Hear that a record is going to be tried again."""

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Hear how it ended, and send what is to be sent within that many seconds."""

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Hear, after the end of a shard that was the last, how the whole run ended."""


class Reporters(Reporter):
    """Tell several reporters; one that breaks costs a log line and nothing else."""

    def __init__(self, reporters: Iterable[Reporter], log: logging.Logger) -> None:
        self._reporters = tuple(reporters)
        self._log = log

    def started(self, start: Start) -> None:
        """Tell everybody that the attempt begins."""
        self._tell("started", start)

    def progress(self, progress: Progress) -> None:
        """Tell everybody how far it is."""
        self._tell("progress", progress)

    def committed(self, commit: Commit) -> None:
        """Tell everybody of a page commit."""
        self._tell("committed", commit)

    def failed(self, group: ErrorGroup) -> None:
        """Tell everybody of a failed record."""
        self._tell("failed", group)

    def retried(self, error: str) -> None:
        """Tell everybody of another try."""
        self._tell("retried", error)

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Tell everybody how it ended, at the same time, and wait no longer than the budget and a little."""
        await self._within(budget_s, [reporter.ended(summary, budget_s) for reporter in self._reporters])

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Tell everybody how the whole run ended."""
        await self._within(budget_s, [reporter.closed(summary, budget_s) for reporter in self._reporters])

    async def _within(self, budget_s: float, telling: Iterable[Coroutine[Any, Any, None]]) -> None:
        endings = [asyncio.create_task(told) for told in telling]
        if not endings:
            return
        _, late = await asyncio.wait(endings, timeout=budget_s + _GRACE_S)
        for ending in late:
            ending.cancel()
            self._log.error("a report of the end took longer than %g s and was given up", budget_s)
        if late:
            await asyncio.wait(late, timeout=_GRACE_S)
        for error in await asyncio.gather(*(ending for ending in endings if ending.done()), return_exceptions=True):
            if isinstance(error, Exception):
                self._log.error("a report of the end failed: %r", error)

    def _tell(self, what: str, said: Any) -> None:
        for reporter in self._reporters:
            try:
                getattr(reporter, what)(said)
            except Exception:  # noqa: BLE001 - a report never changes the result
                self._log.exception("the report %s of %s failed", what, type(reporter).__name__)
