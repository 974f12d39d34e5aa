"""The embedded-metric line, held to Amazon CloudWatch's "Specification: Embedded metric format"."""

from typing import Any

import pytest
from examples import a_start, a_summary, a_tally
from logged import Logged, logging_to

from worker.events import History
from worker.report.emf import METRICS, EmfReporter
from worker.tally import Tally
from worker.verdict import Verdict

UNITS = {
    *("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "None"),
    *(
        f"{size}{kind}{per}"
        for size in ("", "Kilo", "Mega", "Giga", "Tera")
        for kind in ("bytes", "bits")
        for per in ("", "/Second")
    ),
}


def check(line: dict[str, Any]) -> None:
    """Hold a line to the specification's schema and its MUSTs."""
    aws = line["_aws"]
    assert set(aws) == {"Timestamp", "CloudWatchMetrics"}
    assert isinstance(aws["Timestamp"], int)
    assert 1e12 < aws["Timestamp"] < 1e13, "milliseconds since 1970"
    assert isinstance(aws["CloudWatchMetrics"], list)
    for directive in aws["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert 1 <= len(directive["Namespace"]) <= 255
        assert len(directive["Dimensions"]) >= 1
        for dimensions in directive["Dimensions"]:
            check_dimensions(dimensions, line)
        assert len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            check_metric(metric, line)


def check_dimensions(dimensions: list[str], line: dict[str, Any]) -> None:
    """Hold a dimension set to its rules: at most 9 (in newer editions 30) names of string members of the root."""
    assert len(dimensions) <= 9
    for name in dimensions:
        assert 1 <= len(name) <= 250
        assert isinstance(line[name], str)
        assert 1 <= len(line[name]) <= 1_024
        assert line[name].isascii()
        assert line[name].strip()


def check_metric(metric: dict[str, Any], line: dict[str, Any]) -> None:
    """Hold a metric to its rules: a number on the root, a known unit."""
    assert set(metric) <= {"Name", "Unit", "StorageResolution"}
    assert 1 <= len(metric["Name"]) <= 255
    assert metric["Unit"].lower() in {unit.lower() for unit in UNITS}
    assert isinstance(line[metric["Name"]], (int, float))
    assert not isinstance(line[metric["Name"]], bool)


async def emitted(summary: Any, env: str | None = None, level: str = "info") -> list[dict[str, Any]]:
    """Give the lines that a reporter writes at the end."""
    with logging_to(Logged(), level=level) as logged:
        await EmfReporter(env).ended(summary, 5)
    return logged.lines()


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("env", [None, "prod"])
async def test_emf_follows_the_specification(verdict: Verdict, env: str | None) -> None:
    """Whatever the end, the line is a valid log line and a valid embedded-metric document."""
    [line] = await emitted(a_summary(verdict), env)
    check(line)
    assert {"timestamp", "level", "event"} <= set(line)
    assert (line["Ended"], line["Verdict"]) == (1, verdict.word)


async def test_emf_says_the_figures() -> None:
    """Every metric carries the summary's figure, by Job alone and by Job and Env."""
    [line] = await emitted(a_summary(throttled_s=1.5, tally=a_tally(read=5_010, throttled=7)), "prod")
    assert {name: line[name] for name in METRICS} == {
        "Succeeded": 0,
        "Duration": 56.0,
        "RecordsRead": 5_010,
        "RecordsDone": 4_900,
        "RecordsSkipped": 88,
        "RecordsFailed": 12,
        "RecordsUnfinished": 10,
        "ErrorRate": pytest.approx(0.24),
        "OldestRecordAge": 4.2,
        "Retries": 31,
        "Throttled": 7,
        "ThrottledTime": 1.5,
        "PeakMemory": 61 * 1024 * 1024,
    }
    ended, figures, _ = line["_aws"]["CloudWatchMetrics"]
    assert ended["Dimensions"] == [["Job", "Verdict"]]
    assert figures["Dimensions"] == [["Job"], ["Job", "Env"]]
    assert (line["Job"], line["Env"]) == ("poll-payments", "prod")
    assert line["_aws"]["Timestamp"] == 1_795_329_056_000


async def test_emf_compares_the_duration_with_what_is_usual() -> None:
    """The share of the median that it took, once enough runs in its scope have succeeded: no alarm needs a number typed in."""
    [line] = await emitted(a_summary())
    assert line["DurationOfUsual"] == pytest.approx(112)
    few, instant = (
        History(runs=runs, duration_s=median, records=1, failed=0) for runs, median in ((2, 50.0), (10, 0.0))
    )
    for history in (None, few, instant):
        [line] = await emitted(a_summary(history=history))
        assert "DurationOfUsual" not in line
        check(line)


async def test_emf_counts_only_succeeded_as_success() -> None:
    """A clean end is 1, also with no record at all; an end without work has no figures that would bend a median."""
    [clean] = await emitted(a_summary(Verdict.SUCCEEDED, tally=Tally()))
    assert (clean["Succeeded"], clean["ErrorRate"]) == (1, 0)
    [overlapped] = await emitted(a_summary(Verdict.OVERLAPPED))
    assert "Duration" not in overlapped
    assert "Succeeded" not in overlapped


async def test_emf_leaves_trials_out() -> None:
    """A dry run or a canary must not satisfy an alarm that waits for a success."""
    assert await emitted(a_summary(start=a_start(dry_run=True))) == []
    assert await emitted(a_summary(start=a_start(max_records=10))) == []


async def test_emf_a_part_of_the_scope_is_no_success() -> None:
    """A run of one merchant must not keep the alarm quiet that waits for the run of all; its other figures count."""
    [line] = await emitted(a_summary(Verdict.SUCCEEDED, start=a_start(scope={"merchant_id": 42})))
    assert (line["Succeeded"], line["Duration"]) == (0, 56.0)


async def test_emf_is_not_silenced_by_the_log_level() -> None:
    """LOG_LEVEL=error keeps the metrics: alarms stand on them."""
    assert len(await emitted(a_summary(), level="error")) == 1
