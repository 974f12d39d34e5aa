"""The port to the run store's launches: who may start a task now, under which caps, and what became of it.

A launch is one start of a run's task. It is `reserved` before ECS is asked, `placed` when a task carries it, `failed` when none
could be had, and `over` when its task has stopped. Reserved and placed ones are live and take room under the caps.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

from worker.verdict import Verdict

RESERVED, PLACED, FAILED, OVER = "reserved", "placed", "failed", "over"
LIVE = (RESERVED, PLACED)

STALE = timedelta(seconds=60)
"""After so long without a task a reservation's launcher is dead: it gives up well before (launcher.PATIENCE_S)."""

MOST_RESTARTS = 3
"""So often is a run started again by itself."""

_NAME = 30
"""Characters of the job's name in a launch's id, which ECS takes up to 64 of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A run that is to be started, as the run store needs to know it."""

    job: str
    run_key: str
    lease: str
    """What only one of its live launches may have: the name of the lease that its task will ask for."""
    scope_hash: str
    shard: str = ""
    dry_run: bool = False
    request: Mapping[str, Any] = field(default_factory=dict)
    """What would start it again, as JSON values: a scope with secrets only by its reference."""
    again: bool = False
    """Somebody means it: start the run although it was begun before, unless it succeeded."""
    restart: bool = False
    """Nobody means it: it is started again by itself, MOST_RESTARTS times at most."""
    after: int | None = None
    """Start it only if this is the number of its last launch: the same news twice then starts it once."""
    most_of_job: int = 1
    most: int | None = None

    @property
    def run_id(self) -> str:
        """Give the run's name."""
        return f"{self.job}:{self.run_key}"

    @property
    def row(self) -> str:
        """Name its row in the run store: a shard is a run of its own (ADR 8)."""
        return f"{self.run_id}/{self.shard.partition('/')[0]}" if self.shard else self.run_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of a run's task."""

    run_id: str
    number: int
    job: str
    lease: str
    scope_hash: str
    shard: str = ""
    dry_run: bool = False
    request: Mapping[str, Any] = field(default_factory=dict)
    restarts: int = 0
    """How often the run was started again by itself, this launch included."""
    state: str = RESERVED
    task_arn: str | None = None
    reason: str = ""
    """Why it failed, or how its task ended."""
    reserved_at: datetime

    @property
    def id(self) -> str:
        """Give what names this launch to ECS and in every log: client token, `startedBy`, correlation id (ASCII, at most 64).

        It is made of run and number alone, so that a launcher that takes up another's reservation is handed the same task.
        """
        whole = f"{self.run_id}\n{self.shard}\n{self.number}"
        name = re.sub(r"[^A-Za-z0-9-]", "-", self.job)[:_NAME]
        return f"{name}-{self.number}-{hashlib.sha256(whole.encode()).hexdigest()[:24]}"

    def stale(self, now: datetime) -> bool:
        """Tell whether whoever reserved it can no longer be about to place it."""
        return self.state == RESERVED and self.old(now)

    def old(self, now: datetime) -> bool:
        """Tell whether it was reserved so long ago that ECS must know of its task, if there is one."""
        return now - self.reserved_at >= STALE


@dataclass(frozen=True, slots=True)
class Reserved:
    """Room is kept for the launch: place it, then say `placed` or `failed`."""

    launch: Launch
    taken_up: bool = False
    """Whether an earlier launcher had reserved it and died: its task may be there, or may have been."""


@dataclass(frozen=True, slots=True)
class Known:
    """The run was started before, and is not started again: `state` is a launch's, or the word of the run's verdict."""

    run_id: str
    state: str
    task_arn: str | None = None

    def __str__(self) -> str:
        where = f" (task {self.task_arn})" if self.task_arn else ""
        words = {RESERVED: "is being started", PLACED: "is live", OVER: "was started before, and its task has stopped"}
        return f"{self.run_id} {words.get(self.state, f'is known: {self.state}')}{where}"


@dataclass(frozen=True, slots=True)
class Full:
    """There is no room: `why` names the cap, `live` are the launches that take it up."""

    run_id: str
    why: str
    live: tuple[Launch, ...] = field(default=(), repr=False)
    overlaps: bool = False
    """Whether another run has the lease: a task would find the same, and end as `overlapped`."""

    def __str__(self) -> str:
        return f"no room for {self.run_id}: {self.why}"


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot be started as it was asked for; all that is wrong with it."""

    faults: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.faults)


@dataclass(frozen=True, slots=True)
class Launched:
    """A task was started for the run."""

    launch: Launch
    task_arn: str

    def __str__(self) -> str:
        return f"{self.launch.run_id} started as task {self.task_arn}"


@dataclass(frozen=True, slots=True)
class Unplaced:
    """ECS could not place it for as long as was tried: it may be asked for again."""

    run_id: str
    why: str

    def __str__(self) -> str:
        return f"{self.run_id} could not be placed: {self.why}"


Reservation: TypeAlias = Reserved | Known | Full | Refused
Answer: TypeAlias = Launched | Known | Full | Refused | Unplaced


class Launches(Protocol):
    """The launches in the run store; two launchers at once never exceed the caps together."""

    async def reserve(self, asked: Asked) -> Reservation:
        """Keep room for a launch, in one step with looking whether there is any."""
        ...

    async def placed(self, launch: Launch, task_arn: str) -> None:
        """Note the task that carries a launch."""
        ...

    async def failed(self, launch: Launch, reason: str) -> None:
        """Give back the room of a launch that no task carries."""
        ...

    async def released(self, id: str, reason: str, task_arn: str | None = None) -> Launch | None:  # noqa: A002 - its name
        """Give back the room of a launch whose task has stopped; give the launch as it is now, None for an id that is none of ours.

        Saying it twice does no harm, and gives the same launch.
        """
        ...

    async def live(self) -> Sequence[Launch]:
        """Give the launches that take room, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known, in one instant, of a run that is to be started."""

    now: datetime
    last: Launch | None
    """Its last launch."""
    status: str | None
    """The run's status, where an attempt at it was begun."""
    scope_hash: str | None
    """That of the run's scope, where the run is there."""
    live: Sequence[Launch]
    """All live launches, of all jobs."""


def decide(asked: Asked, facts: Facts) -> Reservation:
    """Decide whether a run may be started now; a Reserved launch is to be kept, on the condition that the facts still hold."""
    last, run_id = facts.last, asked.run_id
    if (facts.scope_hash or (last and last.scope_hash) or asked.scope_hash) != asked.scope_hash:
        return Refused((f"run key {asked.run_key!r} was used with another scope: use another key, or that scope",))
    if last is not None and last.stale(facts.now):
        return Reserved(replace(last, request=asked.request, reserved_at=facts.now), taken_up=True)
    if known := _known(asked, facts):
        return known
    restarts = _restarts(last)
    if asked.restart and restarts >= MOST_RESTARTS:
        return Refused((f"{run_id} was started again by itself {restarts} times: look why it ends before it is done",))
    if full := _full(asked, facts.live):
        return full
    return Reserved(
        Launch(
            run_id=run_id,
            number=last.number + 1 if last else 1,
            job=asked.job,
            lease=asked.lease,
            scope_hash=asked.scope_hash,
            shard=asked.shard,
            dry_run=asked.dry_run,
            request=asked.request,
            restarts=restarts + asked.restart,
            reserved_at=facts.now,
        )
    )


def _restarts(last: Launch | None) -> int:
    """Count the starts by itself so far: one of which no task came is none, or a quarter of an hour without capacity used them up."""
    if last is None:
        return 0
    return last.restarts - (last.state == FAILED and last.request.get("trigger") == "resume")


def _known(asked: Asked, facts: Facts) -> Known | None:
    last, succeeded = facts.last, Verdict.SUCCEEDED.word
    arn = last.task_arn if last else None
    if last is not None and last.state in LIVE:
        return Known(asked.run_id, last.state, arn)
    if facts.status == succeeded:
        return Known(asked.run_id, succeeded, arn)
    begun = facts.status or (OVER if last and last.state == OVER else None)
    if begun and not (asked.again or asked.restart):
        return Known(asked.run_id, begun, arn)
    if asked.after is not None and last is not None and last.state != FAILED and last.number != asked.after:
        return Known(asked.run_id, last.state, arn)
    return None


def _full(asked: Asked, live: Sequence[Launch]) -> Full | None:
    same = tuple(launch for launch in live if launch.lease == asked.lease)
    if same:
        return Full(
            asked.run_id, f"{same[0].run_id} is live, and they share the lease {asked.lease!r}", same, overlaps=True
        )
    of_job = tuple(launch for launch in live if launch.job == asked.job and launch.dry_run == asked.dry_run)
    if len(of_job) >= asked.most_of_job:
        cap = f"{len(of_job)} of at most {asked.most_of_job} tasks of {asked.job} (max_tasks) are live"
        return Full(asked.run_id, cap, of_job)
    if asked.most is not None and len(live) >= asked.most:
        return Full(asked.run_id, f"{len(live)} of at most {asked.most} tasks (LAUNCH_MAX_TASKS) are live", tuple(live))
    return None
