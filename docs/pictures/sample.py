"""The attempt that the pictures show: a scheduled run of 5,000 payments, in the middle and at its end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from worker.events import ErrorGroup, History, Progress, Start, Summary, Task
from worker.limits import Limits, Rate
from worker.tally import Tally
from worker.verdict import Verdict

_MIB = 1024 * 1024
_AT = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)

START = Start(
    job="poll-payments",
    run_id="poll-payments:2026-11-22T06:30:00Z",
    run_key="2026-11-22T06:30:00Z",
    attempt=1,
    limits=Limits(concurrency=64, rate=Rate(500), max_age=30),
    task=Task(memory_limit=512 * _MIB, cpu_limit=0.25),
    version="1.4.0",
    started_at=_AT,
)

PROGRESS = Progress(
    elapsed_s=6.2,
    tally=Tally(read=3_500, done=2_874, skipped={"unchanged": 204}, retries=19, throttled=2),
    total=5_000,
    rate=497.0,
    eta_s=3.9,
    in_flight=41,
    limited_by="rate",
    last_error="Transient: GET /v1/payment_intents/pi_3Nk2x answered 503",
    throttled_s=0.4,
)

_TALLY = Tally(read=5_000, done=4_646, skipped={"unchanged": 346, "changed meanwhile": 8}, retries=31, throttled=2)

SUMMARY = Summary(
    start=START,
    verdict=Verdict.SUCCEEDED,
    ended_at=_AT + timedelta(seconds=10.1),
    duration_s=10.1,
    tally=_TALLY,
    run_tally=_TALLY,
    total=5_000,
    rate=494.0,
    oldest_age_s=1.9,
    throttled_s=0.4,
    limited_by="rate",
    peak_memory=58 * _MIB,
    cpu_s=1.1,
    commits=10,
    history=History(runs=10, duration_s=10.2, records=4_950, failed=4),
)

_FAILURES = replace(_TALLY, done=4_641, failed=5)

POSTED = replace(
    SUMMARY,
    verdict=Verdict.COMPLETED_WITH_FAILURES,
    tally=_FAILURES,
    run_tally=_FAILURES,
    errors=(
        ErrorGroup(
            fingerprint="resource_missing: No such payment_intent: …",
            type="resource_missing",
            message="No such payment_intent: 'pi_3Nk2x'",
            sample_key="[4711]",
            count=5,
        ),
    ),
    next_command="python -m worker replay poll-payments:2026-11-22T06:30:00Z",
    links={"logs": "https://logs.example/poll-payments", "task": "https://tasks.example/0f1e2d3c"},
)
