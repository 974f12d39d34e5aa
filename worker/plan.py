"""What a run will take: how long, what limits it, how many shards help, and what it costs. Arithmetic over what runs before it took.

A part of it (the rate, the records in flight, the core, reading, page commits) lets so many records a second through; the slowest
part is the run's speed. Shards multiply the parts that are a task's own, and share out the limits that are the run's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import ceil, inf

import msgspec

from worker.errors import Faults
from worker.events import Spent, Start
from worker.limits import Limits, Rate
from worker.runs import RunView
from worker.shards import Shard
from worker.size import Size
from worker.tally import Tally

CONCURRENCY, CPU, READING, COMMITTING, DATABASE = "concurrency", "CPU", "reading", "page commits", "database"
"""The parts of a run, beside its rates, that may limit it."""
OWN = (CPU, READING, COMMITTING)
"""Those of them that are a task's own: shards multiply them."""
START_S = 40.0
"""From the launch to the first record: ECS takes 20 to 60 s, and bills most of it."""
LAUNCHES = 20
"""Calls of RunTask a second (ECS quotas); a shard is one."""
SHORTEST_BILL_S = 60.0

_USED, _USED_SHARED = 0.99, 0.98
"""So much of a rate limit is used (docs/performance.md, line 5)."""
_LONG_ENOUGH_S = 2.0
"""What a shorter run took says little."""
_BUSY = 0.9
"""A core so busy makes its records wait: their time in flight is not the other side's."""
_NO_HELP = 1.05
"""More shards that make a run shorter by less than this do not help."""
_ROOM = 1.5
"""A task's memory is to be so much more than the worker's peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What Fargate costs, in dollars."""

    vcpu_hour: float = 0.04048
    gb_hour: float = 0.004445
    of: str = "us-east-1, Linux on x86, list prices of March 2026"

    def second(self, size: Size) -> float:
        """Give the price of a task of that size for a second."""
        return (self.vcpu_hour * (size.cpu or 0) / 1024 + self.gb_hour * (size.memory or 0) / 1024) / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one record takes: in seconds, and calls of each limit; None where nothing is known."""

    run: str | None = None
    """Which run has shown it; None: it was said."""
    said: bool = False
    """Whether something was said that goes before what a run has shown."""
    records: int = 0
    in_flight_s: float | None = None
    cpu_s: float | None = None
    reading_s: float | None = None
    committing_s: float | None = None
    calls: Mapping[str, float] = field(default_factory=dict)
    peak_memory: int = 0

    def a_record(self, rate: Rate) -> float:
        """Give the calls that a record takes of a limit; one, where nothing is known."""
        return self.calls.get(rate.name, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be planned."""

    job: str
    records: int
    limits: Limits
    measured: Measured
    size: Size
    timeout_s: float
    interval_s: float | None = None
    """The shortest time between two runs of its schedule."""
    max_tasks: int = 1
    divisible: bool = True
    connections: int = 0
    """To the database, of each task."""
    writes: float | None = None
    """Rows a second that its database writes for all tasks together; None: it is no bound."""
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True)
class Bound:
    """So many records a second does a part of one task let through."""

    part: str
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The run in so many tasks, each a shard of it."""

    shards: int
    per_second: float
    limited_by: str
    work_s: float
    """From the first record to the last."""
    duration_s: float
    """With the start of the tasks."""
    cost: float
    commits_per_second: float
    connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the run will take."""

    work: Work
    bounds: tuple[Bound, ...]
    """Of one task, the slowest part first."""
    ways: tuple[Way, ...]
    """In one task, and in as many as help."""
    enough: int
    """From so many shards on, more do not help."""
    beyond: str
    """What limits it then."""
    most: int
    """So many can share its limits."""

    def among(self, shards: int) -> "Plan":
        """Give the same with the ways of one task and of so many alone. Raises Faults where it cannot be divided so often."""
        if shards > 1 and not self.work.divisible:
            raise Faults([f"{self.work.job} cannot be worked on in shards: its source cannot be divided"])
        return replace(self, ways=tuple(_way(self.work, number) for number in sorted({1, shards})))

    def first_within(self, seconds: float) -> int | None:
        """Give the smallest number of shards whose work fits into that time; None: none does."""
        return next((way.shards for way in _ways(self.work) if way.work_s <= seconds), None)

    @property
    def concurrency(self) -> int | None:
        """Give the records in flight with which concurrency would not hold up one task; None where it does not."""
        first, *others = self.bounds
        if first.part != CONCURRENCY or not others or self.work.measured.in_flight_s is None:
            return None
        return ceil(others[0].per_second * self.work.measured.in_flight_s)

    @property
    def memory_is_short(self) -> bool:
        """Tell whether the worker's share of the task's memory is less than its peak asks for."""
        return 0 < (self.work.size.worker_memory or 0) * 2**20 < _ROOM * self.work.measured.peak_memory


def plan(work: Work) -> Plan:
    """Plan a run. Raises Faults where nothing is known that would limit it."""
    if not (bounds := sorted(_bounds(work.limits, work), key=lambda bound: bound.per_second)):
        raise Faults([unknown(work.job)])
    ways = list(_ways(work))
    most, shortest = len(ways), min(way.duration_s for way in ways)
    enough = next(way.shards for way in ways if way.duration_s <= _NO_HELP * shortest)
    twice = min(most, 2 * enough)
    shown = sorted({2**power for power in range(enough.bit_length())} | {enough, twice})
    return Plan(
        work=work,
        bounds=tuple(bounds),
        ways=tuple(ways[shards - 1] for shards in shown),
        enough=enough,
        beyond=ways[twice - 1].limited_by,
        most=most,
    )


def unknown(job: str) -> str:
    """Say what to do where nothing is known of a job's records."""
    return (
        f"no run of {job} that went on for two seconds tells how long a record takes: start a canary first "
        f"(python -m worker {job} --max-records 1000, or more of them)"
    )


def measured(runs: Iterable[RunView]) -> Measured | None:
    """Give what a record took in the largest of these runs, canaries included; None where they tell nothing."""
    read = [(view, _told(view)) for view in runs if not view.dry_run]
    told = [(view, summary) for view, summary in read if summary is not None and summary.tells]
    if not told:
        return None
    view, summary = max(told, key=lambda each: each[1].tally.finished)
    spent, records = summary.spent, summary.tally.finished
    return Measured(
        run=view.run_id,
        records=records,
        in_flight_s=(spent.in_flight_s / records or None) if summary.busy < _BUSY else None,
        cpu_s=spent.cpu_s / records or None,
        reading_s=spent.reading_s / records or None,
        committing_s=spent.committing_s / records or None,
        calls={name: calls / records for name, calls in spent.calls.items()},
        peak_memory=summary.peak_memory,
    )


def _told(view: RunView) -> "_Told | None":
    """Read a run's summary; None where it has none, or one of another version of the worker."""
    try:
        return msgspec.convert(view.summary, _Told) if view.summary else None
    except msgspec.ValidationError:
        return None


class _Told(msgspec.Struct):
    """What is read of a summary."""

    start: Start
    tally: Tally
    duration_s: float = 0.0
    peak_memory: int = 0
    spent: Spent = Spent()
    shards: tuple[object, ...] = ()

    @property
    def tells(self) -> bool:
        """Tell whether it worked long enough; older summaries do not say what was spent."""
        return self.tally.finished > 0 and self.duration_s >= _LONG_ENOUGH_S and self.spent.cpu_s > 0

    @property
    def busy(self) -> float:
        """Give how busy its cores were, 0 to 1."""
        return self.spent.cpu_s / (self.duration_s * max(1, len(self.shards)) * cores(self.start.task.cpu_limit))


def cores(vcpu: float | None) -> float:
    """Give what a worker can use of a task's CPU: its loop uses one core."""
    return min(1.0, vcpu or 1.0)


def _bounds(limits: Limits, work: Work) -> Iterator[Bound]:
    """Give what the parts of a task with these limits let through."""
    known = work.measured
    if work.writes is not None:
        yield Bound(DATABASE, work.writes)
    for rate in limits.named:
        if calls := known.a_record(rate):
            used = _USED_SHARED if rate.shared else _USED
            yield Bound(_named(rate), rate.per_second * used / calls)
    for part, room, taken_s in (
        (CONCURRENCY, limits.concurrency, known.in_flight_s),
        (CPU, cores((work.size.cpu or 1024) / 1024), known.cpu_s),
        (READING, 1, known.reading_s),
        (COMMITTING, 1, known.committing_s),
    ):
        if taken_s:
            yield Bound(part, room / taken_s)


def _named(rate: Rate) -> str:
    return "rate" if rate.name == "rate" else f"rate {rate.name}"


def _ways(work: Work) -> Iterator[Way]:
    """Plan the run in one task, in two … as long as they can share its limits."""
    yield _way(work, 1)
    try:
        for shards in range(2, work.records + 1 if work.divisible else 0):
            yield _way(work, shards)
    except Faults:
        return


def _way(work: Work, shards: int) -> Way:
    """Plan the run in so many tasks; the last to end is the one with the smallest share of the limits."""
    limits = Shard.parse(f"{shards}/{shards}").limits(work.limits)
    common = {
        DATABASE,
        *(_named(rate) for rate in limits.named if rate.shared),
    }  # not divided: all of them together keep it
    bounds = [
        Bound(each.part, each.per_second * (1 if each.part in common else shards)) for each in _bounds(limits, work)
    ]
    slowest = min(bounds, key=lambda bound: bound.per_second, default=Bound("", inf))
    work_s = ceil(work.records / shards) * shards / slowest.per_second
    placed_s = (shards - 1) / LAUNCHES
    return Way(
        shards=shards,
        per_second=slowest.per_second,
        limited_by=slowest.part,
        work_s=work_s,
        duration_s=START_S + placed_s + work_s,
        cost=shards * max(SHORTEST_BILL_S, START_S + work_s) * work.prices.second(work.size),
        commits_per_second=max(shards, slowest.per_second / limits.page_size),
        connections=shards * work.connections,
    )
