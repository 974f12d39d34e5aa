"""Small examples of what an attempt tells its reporters: whole, and changed by keyword where a test cares."""

from datetime import UTC, datetime, timedelta
from typing import Any

from worker.events import Commit, ErrorGroup, History, Progress, Start, Summary, Task
from worker.limits import Limits, Rate
from worker.tally import Tally
from worker.verdict import Verdict

STARTED_AT = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
MB = 1024 * 1024

A_TASK = Task(
    arn="arn:aws:ecs:eu-central-1:123456789012:task/batch/0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    family="poll-payments",
    revision="7",
    cluster="batch",
    region="eu-central-1",
    memory_limit=512 * MB,
    cpu_limit=0.25,
)

A_LOG_LINK = "https://eu-central-1.console.aws.amazon.com/cloudwatch/home?region=eu-central-1#logs:a=b&c=d"


def a_tally(**changes: Any) -> Tally:
    """Give a tally of 5,000 records: 4,900 done, 88 skipped, 12 failed."""
    whole: dict[str, Any] = {
        "read": 5_000,
        "done": 4_900,
        "failed": 12,
        "skipped": {"unchanged": 80, "changed meanwhile": 8},
        "retries": 31,
    }
    return Tally(**{**whole, **changes})


def a_start(**changes: Any) -> Start:
    """Give the start of a scheduled attempt on ECS."""
    whole: dict[str, Any] = {
        "job": "poll-payments",
        "run_id": "poll-payments:2026-11-22T06:30:00Z",
        "run_key": "2026-11-22T06:30:00Z",
        "attempt": 1,
        "source": "by id; stable: each record that exists throughout is read once",
        "limits": Limits(concurrency=64, rate=Rate(90), max_age=30),
        "deadline_s": 1_200.0,
        "task": A_TASK,
        "version": "1.4.0",
        "started_at": STARTED_AT,
    }
    return Start(**{**whole, **changes})


def an_error(**changes: Any) -> ErrorGroup:
    """Give a group of twelve equal failures."""
    whole: dict[str, Any] = {
        "fingerprint": "resource_missing: No such payment_intent: …",
        "type": "resource_missing",
        "message": "No such payment_intent: 'pi_3Nk2x'",
        "sample_key": "[4711]",
        "count": 12,
    }
    return ErrorGroup(**{**whole, **changes})


def a_summary(verdict: Verdict = Verdict.COMPLETED_WITH_FAILURES, **changes: Any) -> Summary:
    """Give the end of a scheduled attempt over 5,000 records of which 12 failed."""
    tally = changes.get("tally", a_tally())
    whole: dict[str, Any] = {
        "start": a_start(),
        "verdict": verdict,
        "ended_at": STARTED_AT + timedelta(seconds=56),
        "duration_s": 56.0,
        "tally": tally,
        "run_tally": tally,
        "total": 5_000,
        "rate": 89.3,
        "oldest_age_s": 4.2,
        "limited_by": "rate",
        "peak_memory": 61 * MB,
        "cpu_s": 4.1,
        "commits": 10,
        "history": History(runs=10, duration_s=50.0, records=4_950, failed=1),
        "errors": (an_error(),),
        "links": {"logs": A_LOG_LINK},
        "next_command": "python -m worker replay poll-payments:2026-11-22T06:30:00Z",
    }
    return Summary(**{**whole, **changes})


def a_progress(**changes: Any) -> Progress:
    """Give the progress of an attempt after ten seconds."""
    whole: dict[str, Any] = {
        "elapsed_s": 10.0,
        "tally": a_tally(read=964, done=880, failed=2, skipped={"unchanged": 18}),
        "total": 5_000,
        "rate": 90.0,
        "eta_s": 45.5,
        "in_flight": 64,
        "limited_by": "rate",
    }
    return Progress(**{**whole, **changes})


def a_commit(**changes: Any) -> Commit:
    """Give the commit of a page."""
    whole: dict[str, Any] = {
        "number": 3,
        "records": 500,
        "written": 492,
        "cursor": [1_500],
        "open_keys": 2,
        "duration_s": 0.012,
    }
    return Commit(**{**whole, **changes})
