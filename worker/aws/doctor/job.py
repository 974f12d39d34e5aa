"""Find what hurts at night in what a job declares."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.aws.definition_faults import is_secret
from worker.aws.doctor import codes
from worker.aws.doctor.clocks import hazards, interval
from worker.aws.doctor.finding import Finding
from worker.job import Job
from worker.schedule import Cron

_STARTS_HELD_UP = 4
"""So many starts may one run hold up: less would make a long run after an outage impossible."""


def hazards_of(job: type[Job[Any]], now: datetime | None = None) -> Iterator[Finding]:
    """Say what is wrong with a job by itself; paths are in its class."""
    for check in _CHECKS:
        yield from check(job)
    if isinstance(job.schedule, Cron):
        yield from _calendar(job.schedule, now or datetime.now(UTC))


def _timeout(job: type[Job[Any]]) -> Iterator[Finding]:
    apart = interval(job)
    if apart is None:
        return
    said = any("timeout" in vars(kind) for kind in job.__mro__ if kind is not Job)
    if not said and job.timeout > apart:
        what = f"the job is scheduled, {job.schedule}, and says no timeout: it has that of Job, {job.timeout}"
        yield codes.MISSING_TIMEOUT.at("timeout", what, f"timeout = minutes({apart / timedelta(minutes=1):g})")
        return
    if job.timeout > _STARTS_HELD_UP * apart:
        what = f"{job.timeout} is over more than {_STARTS_HELD_UP} times the interval of {job.schedule}, {apart}"
        line = f"timeout = minutes({_STARTS_HELD_UP * apart / timedelta(minutes=1):g}), or less"
        yield codes.TIMEOUT_OVER_INTERVAL.at("timeout", what, line)


def _record(job: type[Job[Any]]) -> Iterator[Finding]:
    """Compare what one record may take with what the whole attempt has."""
    record, whole, retry = job.limits.record_timeout, job.timeout.total_seconds(), job.retry
    if record > whole:
        what = f"record_timeout={record:g} s is over the attempt's timeout of {job.timeout}"
        yield codes.RECORD_OUTLIVES_RUN.at("limits.record_timeout", what, f"record_timeout={whole / 10:g}")
        return
    pauses = sum(min(retry.longest, retry.first * 2.0 ** min(number, 60)) for number in range(retry.attempts - 1))
    if (longest := retry.attempts * record + pauses) > whole:
        what = f"{retry.attempts} tries of {record:g} s and the pauses between take up to {longest:,.0f} s of {whole:,.0f} s"
        yield codes.RETRIES_OUTLIVE_RUN.at(
            "retry", what, f"retry = Retry(attempts=2), or timeout = minutes({longest // 60 + 1:g})"
        )


def _page(job: type[Job[Any]]) -> Iterator[Finding]:
    limits = job.limits
    if limits.rate is not None and limits.max_age is not None and limits.page < limits.page_size:
        takes = limits.page_size / limits.rate.per_second
        what = f"a page of {limits.page_size} takes {takes:.0f} s at {limits.rate}, two are held, and max_age is {limits.max_age:g} s"
        yield codes.PAGE_OUTLIVES_AGE.at("limits.page_size", what, f"page_size={limits.page}")


def _budget(job: type[Job[Any]]) -> Iterator[Finding]:
    errors = job.errors
    if errors.tolerated >= 1:
        what = f"tolerated={errors.tolerated:g}: a run is a success though all its records failed"
        yield codes.TOLERATES_ALL.at("errors.tolerated", what, "tolerated=0.01")
    if errors.count is None and (errors.share is None or errors.share >= 1):
        what = f"count=None and share={errors.share!r}: no number of failures ends the run"
        yield codes.NO_ERROR_BUDGET.at("errors", what, "share=0.25")


def _secrets(job: type[Job[Any]]) -> Iterator[Finding]:
    for name, default in job.environment.items():
        if default is not None and is_secret(name, default):
            what = f"{name} has a default (it is not shown), and is a secret"
            yield codes.SECRET_IN_JOB.at("environment", what, f'secrets = ("{name}",)')


def _calendar(schedule: Cron, now: datetime) -> Iterator[Finding]:
    if schedule.following(now) is None:
        yield codes.NEVER_DUE.at("schedule", f"{schedule} has no time to come", "correct its day, month or year")
        return
    if found := hazards(schedule, now):
        line = f'take another hour, or Cron("{schedule.expression}", zone="UTC")'
        yield codes.DST_HAZARD.at("schedule", f"{schedule}: {'; '.join(found)}", line)


_CHECKS: tuple[Callable[[type[Job[Any]]], Iterator[Finding]], ...] = (_timeout, _record, _page, _budget, _secrets)
