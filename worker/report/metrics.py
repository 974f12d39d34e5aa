"""Every metric that the worker sends to Datadog, in one table."""

from typing import Final, Literal, NamedTuple

Kind = Literal["distribution", "gauge", "count"]

COMMON_TAGS: Final = ("job", "env", "service", "version", "shard")


class Metric(NamedTuple):
    """One metric: its name, kind, unit, the tags it has beside the common ones, and what it tells."""

    name: str
    kind: Kind
    unit: str
    tags: tuple[str, ...]
    meaning: str


STARTED = Metric("worker.run.started", "distribution", "attempt", (), "An attempt began; always 1.")
ENDED = Metric("worker.run.ended", "distribution", "attempt", ("verdict",), "An attempt ended; always 1.")
DURATION = Metric("worker.run.duration", "distribution", "second", ("verdict",), "How long an attempt took.")
RECORDS = Metric(
    "worker.records",
    "distribution",
    "record",
    ("outcome", "reason"),
    "Records by outcome (done, skipped, failed, unfinished), as they come; the sum is exact at the end. "
    "`reason` is there for skipped ones. A value can be negative: done records that turn out to be skipped at the commit.",
)
RETRIES = Metric("worker.retries", "distribution", "try", (), "Tries that were repeated.")
THROTTLED = Metric("worker.throttled", "distribution", "answer", (), "Answers that asked for a pause, such as 429.")
THROTTLED_TIME = Metric(
    "worker.throttled.time",
    "distribution",
    "second",
    (),
    "Time that every slot was paused because the other side asked.",
)
COMMIT_DURATION = Metric(
    "worker.commit.duration", "distribution", "second", (), "How long a page commit took; its count is the commits."
)
COMMIT_WRITTEN = Metric("worker.commit.written", "distribution", "record", (), "Records that a page commit wrote.")
COUNTER = Metric(
    "worker.counter",
    "distribution",
    "",
    ("name",),
    "What the job and its clients have counted beside the records (`run.counters`), at the end.",
)
IN_FLIGHT = Metric("worker.in_flight", "gauge", "record", (), "Records being worked on.")
RATE = Metric("worker.rate", "gauge", "record/second", (), "Finished records a second over the last few seconds.")
PROGRESS = Metric(
    "worker.progress", "gauge", "fraction", (), "Finished share of the attempt, 0 to 1; absent while unknown."
)
RECORD_AGE = Metric(
    "worker.record.age", "gauge", "second", (), "Oldest age at which a record was handed to `process`, so far."
)

METRICS: Final = (
    STARTED,
    ENDED,
    DURATION,
    RECORDS,
    RETRIES,
    THROTTLED,
    THROTTLED_TIME,
    COMMIT_DURATION,
    COMMIT_WRITTEN,
    COUNTER,
    IN_FLIGHT,
    RATE,
    PROGRESS,
    RECORD_AGE,
)

TASK_STOPPED = Metric(
    "batch.task.stopped",
    "count",
    "task",
    ("family", "job", "exit_code", "stop_code", "ending", "shard"),
    "A task has stopped; `exit_code` is `none` where its worker never had one. For the monitor: any that is not `exit_code:0`.",
)
RUN_MISSED = Metric(
    "batch.run.missed",
    "count",
    "run",
    ("job", "kind"),
    "A run that should have succeeded by now did not (`late`), or has lost its worker and has no successor (`dead`).",
)

WATCHED: Final = (TASK_STOPPED, RUN_MISSED)
"""What the functions that watch tasks and runs count, over HTTP: with no tags but their own, and `env`."""
