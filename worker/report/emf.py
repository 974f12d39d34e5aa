"""Say at the end, in one CloudWatch embedded-metric line, what alarms and dashboards stand on.

The form is that of Amazon CloudWatch's "Specification: Embedded metric format". The line is a log line like the others.
"""

import logging
from time import time
from typing import Any

from worker.events import Reporter, Summary
from worker.verdict import Verdict

NAMESPACE = "BatchWorker"

METRICS = {
    "Succeeded": "Count",
    "Duration": "Seconds",
    "RecordsRead": "Count",
    "RecordsDone": "Count",
    "RecordsSkipped": "Count",
    "RecordsFailed": "Count",
    "RecordsUnfinished": "Count",
    "ErrorRate": "Percent",
    "OldestRecordAge": "Seconds",
    "Retries": "Count",
    "Throttled": "Count",
    "ThrottledTime": "Seconds",
    "PeakMemory": "Bytes",
}
"""Of an attempt that worked, by dimension Job (and Job + Env where the environment is named), with their units."""

AGAINST_USUAL = {"DurationOfUsual": "Percent"}
"""The same, where enough runs in the same scope have succeeded: 150 is half as long again as their median."""

_ENOUGH_RUNS = 3

_log = logging.getLogger("worker.metrics")


class EmfReporter(Reporter):
    """Log the attempt's figures as metrics; a trial (dry run, bounded number of records) or a replay counts for none.

    A run of a part of the scope is no success, as for the auditor: it does not stand for the whole run that did not come.
    """

    def __init__(self, env: str | None = None) -> None:
        self._env = env
        _log.setLevel(logging.INFO)  # LOG_LEVEL=warning must not silence the alarms' ground

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Log the line; of a run in shards, that is for `closed`: one shard that succeeded is no success."""
        if summary.start.shard is None:
            await self.closed(summary, budget_s)

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Log the one line of a run in shards."""
        if not summary.start.dry_run and summary.start.max_records is None and summary.start.replay is None:
            _log.info("metrics", extra=metrics(summary, self._env))


def counted(name: str, job: str, **further: str) -> dict[str, Any]:
    """Give the line that counts one of these, by Job and by Job with each further dimension (a closed set)."""
    dimensions = [["Job"], *(["Job", dimension] for dimension in further)]
    aws = {"Timestamp": int(time() * 1000), "CloudWatchMetrics": [_directive(dimensions, {name: "Count"})]}
    return {"_aws": aws, "Job": job, **further, name: 1}


def metrics(summary: Summary, env: str | None = None) -> dict[str, Any]:
    """Give the root members of the embedded-metric line, without those that every log line has.

    `Ended` counts every end by Job and Verdict (a closed set); the other metrics only attempts that worked. The job's own
    counters (bounded) are there as `Counter_<name>`.
    """
    by_job = [["Job"], ["Job", "Env"]] if env else [["Job"]]
    directives = [_directive([["Job", "Verdict"]], {"Ended": "Count"})]
    members: dict[str, Any] = {"Job": summary.start.job, "Verdict": summary.verdict.word, "Ended": 1}
    if env:
        members["Env"] = env
    if summary.verdict.worked:
        directives.append(_directive(by_job, METRICS))
        members |= _values(summary)
        if (usual := _usual(summary)) is not None:
            directives.append(_directive(by_job, AGAINST_USUAL))
            members["DurationOfUsual"] = 100 * summary.duration_s / usual
    if summary.counters:
        counted = {f"Counter_{name}": value for name, value in summary.counters.items()}
        units = {name: "Bytes" if name.endswith("bytes") else "Count" for name in counted}
        directives.append(_directive(by_job, units))
        members |= counted
    aws = {"Timestamp": int(summary.ended_at.timestamp() * 1000), "CloudWatchMetrics": directives}
    return {"_aws": aws, **members}


def _directive(dimensions: list[list[str]], units: dict[str, str]) -> dict[str, Any]:
    defined = [{"Name": name, "Unit": unit} for name, unit in units.items()]
    return {"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": defined}


def _usual(summary: Summary) -> float | None:
    """Give the median duration of the run's predecessors; None where they are too few to tell."""
    history = summary.history
    return history.duration_s if history and history.runs >= _ENOUGH_RUNS and history.duration_s > 0 else None


def _values(summary: Summary) -> dict[str, int | float]:
    tally = summary.tally
    return {
        "Succeeded": int(summary.verdict is Verdict.SUCCEEDED and not summary.start.scope),
        "Duration": summary.duration_s,
        "RecordsRead": tally.read,
        "RecordsDone": tally.done,
        "RecordsSkipped": tally.skips,
        "RecordsFailed": tally.failed,
        "RecordsUnfinished": tally.unfinished,
        "ErrorRate": 100 * tally.failed_share,
        "OldestRecordAge": summary.oldest_age_s,
        "Retries": tally.retries,
        "Throttled": tally.throttled,
        "ThrottledTime": summary.throttled_s,
        "PeakMemory": summary.peak_memory,
    }
