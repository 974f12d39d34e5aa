"""The auditor: every five minutes it looks for runs that should have succeeded and did not. Silence is failure.

What it finds it says once: to SNS, to Slack, and as a metric; again when it has changed, and of what is still late each day. A run store that does not answer
is raised: an auditor that cannot look has failed itself, and its own errors are watched.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from worker import registry
from worker.audit import GRACE, Due, at_work, came, days_late, dead, due
from worker.claim import lease_of
from worker.errors import Faults
from worker.functions.doors import Doors, opened
from worker.functions.telling import Troubles
from worker.functions.wording import at, command_scope, facts
from worker.job import Job
from worker.notice import Notice
from worker.report import metrics, words
from worker.runs import RunView

_LATEST = 200
"""Runs of a job that are looked at for dead ones: a job that events start may begin a hundred in five minutes."""
_SAFE = "It is safe to start it now: one run of a job works at a time, and what was committed is not done again."


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Take the schedule's event as AWS Lambda hands it over."""
    return asyncio.run(_opened())


async def _opened() -> dict[str, Any]:
    async with opened() as doors:
        return await audit(doors, datetime.now(UTC))


async def audit(
    doors: Doors,
    now: datetime,
    names: Callable[[], list[str]] = registry.names,
    load: Callable[[str], type[Job[Any]]] = registry.load,
) -> dict[str, Any]:
    """Look at every job whose schedule is not said to be disabled; tell what is new."""
    troubles, told = Troubles(doors.mask), []
    for name in names():
        if name in doors.found.audit_skip:
            continue
        with troubles.kept(f"{name} could not be audited"):
            told += await _audit(load(name), doors, now)
    _check_skip(doors, names(), troubles)
    troubles.raise_all()
    return {"told": told}


async def _audit(job: type[Job[Any]], doors: Doors, now: datetime) -> list[str]:
    found = [_dead_notice(run, doors) for run in await doors.books.reader.latest(job.name, _LATEST) if dead(run, now)]
    found += [late] if (late := await _late(job, doors, now)) else []
    return [key for key, value, notice in found if await _tell(key, value, notice, doors, now)]


async def _tell(key: str, value: str, notice: Notice, doors: Doors, now: datetime) -> bool:
    """Tell everybody what has not been told before; it is marked as told when SNS has it."""
    mark = await doors.books.marks.marked(key)
    if mark is not None and mark.value == value:
        return False
    await doors.teller.alert(notice, f"{key}/{value}")
    await doors.teller.post(notice, f"{key}/{value}")
    await doors.teller.count(metrics.RUN_MISSED, {"job": notice.job, "kind": notice.kind}, f"{key}/{value}", now)
    doors.teller.note("RunMissed", notice.job, Kind=notice.kind)
    return await doors.books.marks.mark(key, value)


async def _late(job: type[Job[Any]], doors: Doors, now: datetime) -> tuple[str, str, Notice] | None:
    """Find out whether the job is late; a job is watched from when it, or its schedule, was first seen."""
    reader, wanted = doors.books.reader, due(job, now)
    if wanted is None or (seen := await _seen_since(job, doors)) > wanted.since:
        return None
    success = await reader.succeeded(job.name, wanted.begun_since)
    lease = lease_of(job.name, job.Scope() if job.one_per_scope else None)
    if came(wanted, success) or at_work(job, await reader.holder(lease), now):
        return None
    which = f"{wanted.since:%Y-%m-%dT%H:%M:%SZ}" if wanted.exact else success.run_id if success else "never"
    last = (success.ended_at or success.created_at) if success else seen
    days = days_late(job, wanted, last, now)
    latest = next(iter(await reader.latest(job.name, 1)), None)
    state = f"{which}, day {days + 1}" if days else which
    return f"late/{job.name}", state, _late_notice(job, wanted, days, success, latest)


async def _seen_since(job: type[Job[Any]], doors: Doors) -> datetime:
    """Give since when the job has had this schedule, as far as the auditor knows; note it if it is new."""
    marks, key, value = doors.books.marks, f"watched/{job.name}", f"{job.schedule}"
    await marks.mark(key, value)
    seen = await marks.marked(key)
    assert seen is not None, "it was marked above"
    return seen.at


def _late_notice(
    job: type[Job[Any]], wanted: Due, days: int, success: RunView | None, latest: RunView | None
) -> Notice:
    allowed = words.duration((job.timeout + GRACE).total_seconds())
    was = f"the run of {at(wanted.since)}" if wanted.exact else f"a run that was due since {at(wanted.since)}"
    key = f" --run-key {wanted.since:%Y-%m-%dT%H:%M:%SZ}" if wanted.exact else ""
    return Notice(
        job=job.name,
        kind="late",
        sign="⏰",
        said=(
            f"Expected: {was} ({job.schedule}) should have succeeded within {allowed}, and none did.",
            *([f"It has been late for {days} day{'s' if days > 1 else ''} now."] if days else ()),
            _SAFE,
            "Look whether its schedule is enabled, and whether its tasks start: python -m worker doctor.",
            "If it is paused on purpose, name it in AUDIT_SKIP.",
        ),
        facts={
            "Seen last": _seen(latest),
            "Last success": f"{success.run_id}, {at(success.ended_at or success.created_at)}" if success else "none",
        },
        next_command=f"python -m worker launch {job.name}{key}",
        origin=f"job {job.name}",
    )


def _dead_notice(run: RunView, doors: Doors) -> tuple[str, str, Notice]:
    scope = command_scope(run, run.job, {})
    launch = f"python -m worker launch {run.job} --run-key {run.run_key}{f' {scope}' if scope else ''}"
    notice = Notice(
        job=run.job,
        kind="dead",
        sign="💀",
        said=(
            f"Attempt {run.attempt} fell silent, and no other has taken the run up.",
            "Expected was a heartbeat within its lease, or a successor.",
            "The same run may be started again as it is: what was committed stays, and it goes on from there.",
        ),
        facts=facts(run),
        next_command=f"python -m worker runs show {run.run_id}" if scope is None or run.shards else launch,
        links=doors.found.run_page(run.run_id),
        origin=f"run {run.run_id} · attempt {run.attempt}",
    )
    return f"dead/{run.run_id}", str(run.attempt), notice


def _seen(latest: RunView | None) -> str:
    if latest is None:
        return "no run at all"
    why = f" ({latest.detail})" if latest.detail else ""
    return f"{latest.run_id}, {latest.status}{why}, begun {at(latest.created_at)}"


def _check_skip(doors: Doors, known: list[str], troubles: Troubles) -> None:
    """Refuse to skip what is not there: a typing error would leave a job alarmed that is paused, or the reverse."""
    if unknown := sorted(set(doors.found.audit_skip) - set(known)):
        with troubles.kept("AUDIT_SKIP"):
            raise Faults([f"AUDIT_SKIP names {', '.join(unknown)}, which is no job; there are {', '.join(known)}"])
