"""The answers' forms, as the OpenAPI document says them."""

from datetime import datetime
from typing import Any

import msgspec


class Health(msgspec.Struct):
    """Whether the server lives, or is ready."""

    status: str


class Fault(msgspec.Struct):
    """One thing that is wrong."""

    detail: str


class ProblemDocument(msgspec.Struct):
    """What is wrong with a request, or keeps it from being done (RFC 9457)."""

    title: str
    status: int
    detail: str
    errors: list[Fault] = []
    run: dict[str, Any] | None = None


class Rate(msgspec.Struct):
    """At most `count` calls in any window of `per` seconds."""

    count: int
    per: float
    name: str


class Limits(msgspec.Struct):
    """How much a job may do at once, and how fast."""

    concurrency: int
    rate: Rate | None
    rates: list[Rate]
    page_size: int
    max_age_s: float | None
    record_timeout_s: float


class Schedule(msgspec.Struct):
    """When a job is meant to run."""

    text: str
    zone: str


class Bar(msgspec.Struct):
    """One of a job's last runs."""

    run_id: str
    status: str
    dry_run: bool
    created_at: datetime
    ended_at: datetime | None
    duration_s: float | None
    tally: dict[str, Any]


class JobEntry(msgspec.Struct):
    """A job: what it is for, when it runs, what a start may say, how it went lately."""

    name: str
    purpose: str
    schedule: Schedule | None
    next: datetime | None
    timeout_s: float
    limits: Limits
    max_affected: int | None
    one_per_scope: bool
    scope: dict[str, Any]
    missing: list[str]
    runs: list[Bar]


class Holder(msgspec.Struct):
    """Whose token it is, and what it may do."""

    name: str
    rights: list[str]


class Jobs(msgspec.Struct):
    """All jobs."""

    jobs: list[JobEntry]
    token: Holder


class Listed(msgspec.Struct, kw_only=True):
    """A run as lists have it."""

    run_id: str
    job: str
    run_key: str
    scope: dict[str, Any]
    dry_run: bool
    status: str
    attempt: int
    tally: dict[str, Any]
    cursor: list[Any] | None
    source: str | None
    created_at: datetime
    heartbeat_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None
    detail: str
    duration_s: float | None
    faults: list[str]
    shards: int | None


class Runs(msgspec.Struct):
    """A page of runs; `next` is the `before` of the page that follows."""

    runs: list[Listed]
    next: str | None


class Group(msgspec.Struct):
    """Records that failed alike."""

    type: str
    message: str
    count: int
    sample_key: str


class Point(msgspec.Struct):
    """How far a run's process was: when (seconds since 1970), its rate then, its failed records so far."""

    at: float
    rate: float
    failed: int


class Run(Listed, kw_only=True):
    """All that is known of a run."""

    summary: dict[str, Any] | None
    attempts: list[dict[str, Any]]
    parts: list[dict[str, Any]]
    live: dict[str, Any] | None
    series: list[Point]
    limit: float | None
    errors: list[Group]
    slack: list[dict[str, Any]]


class Letter(msgspec.Struct):
    """A failed record."""

    key: list[Any]
    type: str
    message: str
    tries: int
    first_at: datetime
    last_at: datetime


class Letters(msgspec.Struct):
    """A page of failed records; `next` is the `after` of the page that follows."""

    letters: list[Letter]
    next: str | None
