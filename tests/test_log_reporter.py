"""The attempt's own log lines."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from examples import A_TASK, a_commit, a_progress, a_start, a_summary, a_tally, an_error
from logged import Logged, logging_to

from worker.report.log_reporter import LogReporter
from worker.verdict import Verdict


@pytest.fixture
def logged() -> Iterator[Logged]:
    with logging_to(Logged()) as stream:
        yield stream


def test_log_reporter_tells_the_start(logged: Logged) -> None:
    """The start line names the run and says limits, stop plan, what the source promises and where it goes on."""
    before = a_tally()
    LogReporter().started(a_start(scope={"merchant_id": 42}, attempt=2, resumed_from=[4_999], before=before))
    line = logged.only()
    assert line["event"] == "poll-payments started, attempt 2, goes on after [4999]"
    assert (line["job"], line["run_id"], line["attempt"]) == ("poll-payments", "poll-payments:2026-11-22T06:30:00Z", 2)
    assert line["task_arn"] == A_TASK.arn
    assert line["scope"] == {"merchant_id": 42}
    assert line["limits"]["rate"] == {"count": 90, "per": 1.0, "name": "rate", "shared": False}
    assert line["stop_plan"].startswith("30 s: drain ")
    assert "stable" in line["source"]
    assert line["resumed_from"] == [4_999]
    assert line["before"] == before.to_json()


def test_log_reporter_names_the_run_on_every_later_line(logged: Logged) -> None:
    """What the job logs after the start belongs to the run."""
    LogReporter().started(a_start())
    logging.getLogger("jobs.poll_payments").info("hello")
    assert logged.lines()[1]["run_id"] == "poll-payments:2026-11-22T06:30:00Z"


def test_log_reporter_tells_progress_every_ten_seconds(logged: Logged) -> None:
    """It hears twice a second and says it every ten seconds, by the attempt's own clock; a gap is not made up for."""
    reporter = LogReporter()
    for half_seconds in [*range(100), 111, 112, 119, 120]:
        reporter.progress(a_progress(elapsed_s=half_seconds / 2))
    assert [line["elapsed_s"] for line in logged.lines()] == [10, 20, 30, 40, 55.5, 60]
    assert logged.lines()[0]["event"] == "900 of 5,000 records (18 %), 90/s, 46 s to go"
    assert logged.lines()[0]["tally"]["read"] == 964


def test_log_reporter_tells_commits_to_who_debugs() -> None:
    """A page commit is a debug line with its figures."""
    with logging_to(Logged(), level="debug") as logged:
        LogReporter().committed(a_commit())
    line = logged.only()
    assert (line["level"], line["event"], line["written"], line["cursor"]) == (
        "debug",
        "page 3 committed",
        492,
        [1_500],
    )


def test_log_reporter_tells_error_groups(logged: Logged) -> None:
    """Each call is one line: how many, what, and one record to look at."""
    LogReporter().failed(an_error(count=100))
    line = logged.only()
    assert line["event"] == "100 × resource_missing: No such payment_intent: 'pi_3Nk2x' (e.g. [4711])"
    assert (line["level"], line["error_count"], line["error_sample_key"]) == ("warning", 100, "[4711]")


LEVELS: list[tuple[Verdict, dict[str, Any], str]] = [
    (Verdict.SUCCEEDED, {"tally": a_tally(failed=0)}, "info"),
    (Verdict.SUCCEEDED, {}, "warning"),
    (Verdict.ALREADY_DONE, {}, "info"),
    (Verdict.ALREADY_RUNNING, {}, "info"),
    (Verdict.OVERLAPPED, {}, "warning"),
    (Verdict.INTERRUPTED, {}, "warning"),
    (Verdict.ABORTED, {}, "error"),
    (Verdict.CRASHED, {}, "error"),
    (Verdict.COMPLETED_WITH_FAILURES, {}, "error"),
    (Verdict.NOT_STARTED, {}, "error"),
    (Verdict.LEASE_LOST, {}, "error"),
]


@pytest.mark.parametrize(("verdict", "changes", "level"), LEVELS)
async def test_log_reporter_tells_the_end(
    logged: Logged, verdict: Verdict, changes: dict[str, Any], level: str
) -> None:
    """The end line is as loud as the verdict, and has the exit code and all counts."""
    summary = a_summary(verdict, **changes)
    await LogReporter().ended(summary, 5)
    line = logged.only()
    assert line["level"] == level
    assert (line["verdict"], line["exit_code"]) == (verdict.word, verdict.exit_code)
    assert line["tally"] == summary.tally.to_json()
    assert (line["duration_s"], line["next_command"]) == (56.0, summary.next_command)
    assert line["errors"][0]["count"] == 12


async def test_log_reporter_tells_the_samples_of_a_dry_run(logged: Logged) -> None:
    """What would have been done is in the end line, each sample cut to a bound; an ordinary end has none."""
    await LogReporter().ended(a_summary(samples=("4711: succeeded", "4712: " + "x" * 1_000)), 5)
    short, long = logged.only()["samples"]
    assert short == "4711: succeeded"
    assert len(long) == 500


async def test_log_reporter_says_why_and_adds_up_attempts(logged: Logged) -> None:
    """The reason is in the event; a resumed run's whole tally is there too."""
    run_tally = a_tally(read=9_000)
    await LogReporter().ended(
        a_summary(Verdict.ABORTED, detail="312 failed", start=a_start(attempt=2), run_tally=run_tally), 5
    )
    line = logged.only()
    assert line["event"] == "poll-payments was aborted: 312 failed"
    assert line["run_tally"]["read"] == 9_000
