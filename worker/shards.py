"""Parts of a run that several processes work on at once: which one, its share of the limits, and how they end as one."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import msgspec

from worker import run_key
from worker.allowance import RAISED, bounded
from worker.budget import ErrorBudget
from worker.errors import Faults
from worker.events import ErrorGroup, Progress, ShardEnd, Spent, Start, Summary
from worker.limits import Limits, Rate
from worker.mask import MASK
from worker.runs import PENDING
from worker.scope import as_flags
from worker.tally import Tally
from worker.verdict import Verdict

_MOST = 1_000

_WORST_FIRST = (
    Verdict.NOT_STARTED,
    Verdict.CRASHED,
    Verdict.ABORTED,
    Verdict.LEASE_LOST,
    Verdict.INTERRUPTED,
    Verdict.COMPLETED_WITH_FAILURES,
    Verdict.SUCCEEDED,
    Verdict.OVERLAPPED,
    Verdict.ALREADY_RUNNING,
    Verdict.ALREADY_DONE,
)
"""What has to be done first decides: a shard that must be looked at before one to start again, that before one to replay."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of so many parts; they count from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `3/8`. Raises Faults."""
        match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]) <= _MOST:
            raise Faults([f"shard {text!r:.100} is not I/N, from 1/N to N/N with N up to {_MOST:,}: 3/8"])
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def asked(cls, text: str, key: str | None, *, dry_run: bool = False, max_records: int | None = None) -> "Shard":
        """Read which part of the run of that key is asked for. Raises Faults where it could not be one of a run that others work on, too."""
        shard = cls.parse(text)
        if not key:
            raise Faults([f"shard {shard} is a part of a run that has a name: give all its shards the same --run-key"])
        if max_records:
            raise Faults(["--max-records does not go with shards: a canary is one process's"])
        if dry_run and run_key.choose(key, dry_run=True) != key:
            raise Faults(["a dry run gets a key of its own, which its shards must share: --dry-run goes with --shards"])
        return shard

    def share(self, whole: int) -> int:
        """Give its part of a count: all parts together are the whole, the first ones take what is left over."""
        return whole // self.of + (1 if self.number <= whole % self.of else 0)

    def limits(self, whole: Limits) -> Limits:
        """Give its part of a run's limits. Raises Faults for what cannot be divided so often."""
        named = [rate for rate in whole.named if not rate.shared]
        faults = [
            f"{self.of} shards cannot share the rate {rate.name!r} of {rate}: make at most {rate.count} of them"
            for rate in named
            if rate.count < self.of
        ]
        if whole.concurrency < self.of:
            faults.append(
                f"{self.of} shards cannot share a concurrency of {whole.concurrency}: make at most {whole.concurrency} of them"
            )
        if faults:
            raise Faults(faults)
        try:
            return replace(
                whole,
                concurrency=self.share(whole.concurrency),
                rate=whole.rate and self._rate(whole.rate),
                rates=tuple(map(self._rate, whole.rates)),
            )
        except ValueError as error:
            raise Faults([f"a share of the limits for each of {self.of} shards: {error}"]) from error

    def budget(self, whole: ErrorBudget) -> ErrorBudget:
        """Give its part of an error budget: of its count; shares are shares."""
        return whole if whole.count is None else replace(whole, count=self.share(whole.count))

    def _rate(self, whole: Rate) -> Rate:
        return whole if whole.shared else replace(whole, count=self.share(whole.count))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Give the verdict of a run from those of its shards."""
    return min(verdicts, key=_WORST_FIRST.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rested:
    """A shard as the run store knows it, its last attempt's summary as JSON values, where that came to write one."""

    number: int
    status: str
    detail: str
    tally: Tally
    summary: dict[str, Any] | None


class _Told(msgspec.Struct):
    """What is read again of a shard's summary."""

    start: Start
    next_command: str | None = None
    rate: float = 0.0
    oldest_age_s: float = 0.0
    throttled_s: float = 0.0
    limited_by: str = ""
    peak_memory: int = 0
    cpu_s: float = 0.0
    commits: int = 0
    spent: Spent = Spent()
    errors: tuple[ErrorGroup, ...] = ()
    samples: tuple[str, ...] = ()
    links: dict[str, str] = {}
    counters: dict[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A run of shards, as it was when its present attempt began."""

    job: str
    run_key: str
    scope: dict[str, Any]
    mode: str
    attempt: int
    started_at: datetime
    before: Tally
    tally: Tally
    """Its counts when it was last closed."""
    summed: Tally
    """The sum of its shards' then."""

    def total(self, parts: Iterable[Tally]) -> Tally:
        """Give its counts now: what its shards have gained since is added, what a replay has mended stays so."""
        return total(self.tally, self.summed, parts)


def total(tally: Tally, summed: Tally, parts: Iterable[Tally]) -> Tally:
    """Give a run's counts, from what they were when its shards' sum was `summed`, and from its shards' now."""
    return tally.plus(sum_of(parts).minus(summed))


def sum_of(parts: Iterable[Tally]) -> Tally:
    """Add tallies."""
    found = Tally()
    for part in parts:
        found = found.plus(part)
    return found


def closed(whole: Whole, shards: Sequence[Rested]) -> Summary:
    """Make one summary of all shards' ends."""
    told = [msgspec.convert(shard.summary, _Told) for shard in shards if shard.summary]
    ends = tuple(_end(shard, len(shards)) for shard in shards)
    run_tally = whole.total(shard.tally for shard in shards)
    verdict = worst(end.verdict for end in ends)
    if verdict is Verdict.COMPLETED_WITH_FAILURES and run_tally.failed_share <= max(
        each.start.tolerated for each in told
    ):
        verdict = Verdict.SUCCEEDED  # failures that are too many for one shard may be few for the run
    before = replace(whole.before, read=whole.before.finished)
    tally, now = run_tally.minus(before), datetime.now(UTC)
    duration_s = max(0.0, (now - whole.started_at).total_seconds())
    errors = _merged(told)
    return Summary(
        start=_start(whole, told, before),
        verdict=verdict,
        detail=_detail(verdict, ends),
        ended_at=now,
        duration_s=duration_s,
        tally=replace(tally, skipped={reason: count for reason, count in tally.skipped.items() if count}),
        run_tally=run_tally,
        rate=tally.finished / duration_s if duration_s > 0 else 0.0,
        oldest_age_s=max((each.oldest_age_s for each in told), default=0.0),
        throttled_s=max((each.throttled_s for each in told), default=0.0),
        limited_by=next(iter(Counter(each.limited_by for each in told if each.limited_by)), ""),
        peak_memory=max((each.peak_memory for each in told), default=0),
        cpu_s=sum(each.cpu_s for each in told),
        commits=sum(each.commits for each in told),
        spent=reduce(Spent.plus, (each.spent for each in told), Spent()),
        errors=errors,
        samples=tuple(sample for each in told for sample in each.samples)[:5],
        links={label: url for each in told for label, url in each.links.items()},
        counters=dict(sum((Counter(each.counters) for each in told), Counter[str]())),
        next_command=_bounded(next_command(whole, verdict, len(shards), run_tally.failed), told),
        shards=ends,
    )


def next_command(whole: Whole, verdict: Verdict, shards: int, failed: int) -> str | None:
    """Give what a person would type to go on with all shards that are not over, or with the records that failed."""
    if (verdict.finished and not failed) or whole.mode != "run" or MASK in whole.scope.values():
        return None
    if verdict.complete:
        return f"python -m worker replay {whole.job}:{whole.run_key}"
    words = ["python -m worker", whole.job, f"--run-key {whole.run_key}", f"--shards {shards}"]
    return " ".join([*words, *as_flags(whole.scope)])


def _bounded(command: str | None, told: Sequence[_Told]) -> str | None:
    """Add what the shards' commands say of how much may be changed."""
    most = next((each.start.max_affected for each in told if each.start.max_affected is not None), None)
    capped = any((each.next_command or "").endswith(RAISED) for each in told)
    return command and bounded(command, most, capped=capped)


def _end(shard: Rested, of: int) -> ShardEnd:
    known = {verdict.word: verdict for verdict in Verdict}
    verdict = known.get(shard.status, Verdict.INTERRUPTED)  # pending: it never began
    detail = "it never began" if shard.status == PENDING else shard.detail
    return ShardEnd(shard=f"{shard.number}/{of}", verdict=verdict, detail=detail, tally=shard.tally)


def _detail(verdict: Verdict, ends: Sequence[ShardEnd]) -> str:
    """Say which shards made the verdict; nothing where all ended alike and well."""
    if verdict.finished:
        return ""
    mine = [end for end in ends if end.verdict is verdict]
    why = next((f": {end.detail}" for end in mine if end.detail), "")
    if len(mine) == len(ends):
        return f"all {len(ends)} shards{why}"
    named = ", ".join(end.shard for end in mine[:5]) + (f" and {len(mine) - 5} more" if len(mine) > 5 else "")
    return f"shard{'s' if len(mine) > 1 else ''} {named}{why}"


def _start(whole: Whole, told: Sequence[_Told], before: Tally) -> Start:
    """Introduce the whole: like its shards, with their limits added up."""
    bare = Start(
        job=whole.job,
        run_id=f"{whole.job}:{whole.run_key}",
        run_key=whole.run_key,
        attempt=whole.attempt,
        scope=whole.scope,
        dry_run=whole.mode == "dry-run",
        started_at=whole.started_at,
        before=before,
    )
    if not told:
        return bare
    first = told[0].start
    return replace(
        bare,
        source=first.source,
        sink=first.sink,
        limits=_added([each.start.limits for each in told]),
        stop_plan=first.stop_plan,
        deadline_s=first.deadline_s,
        task=first.task,
        version=first.version,
        max_affected=first.max_affected,
        tolerated=first.tolerated,
    )


def _merged(told: Sequence[_Told]) -> tuple[ErrorGroup, ...]:
    groups: dict[str, ErrorGroup] = {}
    for group in (group for each in told for group in each.errors):
        known = groups.get(group.fingerprint)
        groups[group.fingerprint] = replace(group, count=group.count + known.count) if known else group
    return tuple(sorted(groups.values(), key=lambda group: -group.count))


def start_of(starts: Sequence[Start], shards: int) -> Start:
    """Introduce a run by its shards that have begun: as one, with their limits added up."""
    first, limits = starts[0], [start.limits for start in starts]
    return replace(
        first,
        shard=f"1–{shards}" if shards > 1 else None,
        resumed_from=None,
        limits=_added(limits),
        before=sum_of(start.before for start in starts),
    )


def progress_of(told: Sequence[Progress], stopping: str | None) -> Progress:
    """Say how far a run is, from how far its shards are."""
    totals = [each.total for each in told]
    known, rate = [total for total in totals if total is not None], sum(each.rate for each in told)
    tally = sum_of(each.tally for each in told)
    whole = sum(known) if len(known) == len(totals) else None
    held_up = Counter(each.limited_by for each in told if each.limited_by)
    return Progress(
        elapsed_s=max(each.elapsed_s for each in told),
        tally=tally,
        total=whole,
        rate=rate,
        eta_s=max(0, whole - tally.finished) / rate if whole is not None and rate > 0 else None,
        in_flight=sum(each.in_flight for each in told),
        limited_by=held_up.most_common(1)[0][0] if held_up else "",
        last_error=next((each.last_error for each in told if each.last_error), None),
        oldest_age_s=max(each.oldest_age_s for each in told),
        throttled_s=max(each.throttled_s for each in told),
        stopping=stopping,
    )


def _added(limits: Sequence[Limits]) -> Limits:
    """Add limits up: each other's shares of the same."""
    first, others = limits[0], limits[1:]
    rate = first.rate
    if rate is not None and not rate.shared:
        rate = replace(rate, count=rate.count + sum(each.rate.count for each in others if each.rate))
    return replace(first, concurrency=sum(each.concurrency for each in limits), rate=rate)
