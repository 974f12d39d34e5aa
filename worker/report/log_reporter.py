"""Log what an attempt tells: its start, its progress now and then, its errors by group, its end."""

import logging
from dataclasses import asdict
from typing import Any

from worker.events import Commit, ErrorGroup, Progress, Reporter, Start, Summary
from worker.report import logs, words
from worker.verdict import Verdict

_log = logging.getLogger("worker.run")

_MOST_GROUPS = 10
_LONGEST_SAMPLE = 500

_LEVELS = {
    Verdict.SUCCEEDED: logging.INFO,
    Verdict.ALREADY_DONE: logging.INFO,
    Verdict.ALREADY_RUNNING: logging.INFO,
    Verdict.OVERLAPPED: logging.WARNING,
    Verdict.INTERRUPTED: logging.WARNING,
}
"""Every other end is an error."""


class LogReporter(Reporter):
    """Log a line per start, page commit (debug), error group at 1, 10, 100 …, every so many seconds, and at the end."""

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = self._next_s = every_s

    def started(self, start: Start) -> None:
        """Log who begins, under which limits, and how it will stop."""
        _place(start)
        resumed = f", goes on after {start.resumed_from}" if start.resumed_from else ""
        _log.info("%s started, attempt %d%s", start.job, start.attempt, resumed, extra=_start(start))

    def progress(self, progress: Progress) -> None:
        """Log how far it is, when that many more seconds have gone by."""
        if progress.elapsed_s < self._next_s:
            return
        self._next_s = (progress.elapsed_s // self._every_s + 1) * self._every_s
        told = asdict(progress) | {"tally": progress.tally.to_json()}
        _log.info(
            "%s", words.position(progress), extra={name: value for name, value in told.items() if value is not None}
        )

    def committed(self, commit: Commit) -> None:
        """Log a page commit, for who debugs."""
        _log.debug("page %d committed", commit.number, extra=asdict(commit))

    def failed(self, group: ErrorGroup) -> None:
        """Log the first failure of its kind, then the tenth, the hundredth and so on."""
        log_failure(group)

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Log how it ended, with all counts."""
        _place(summary.start)  # an attempt that had nothing to do has never started
        level = _LEVELS.get(summary.verdict, logging.ERROR)
        if summary.verdict is Verdict.SUCCEEDED and summary.run_tally.failed:
            level = logging.WARNING
        told = ": ".join(filter(None, [words.headline(summary), summary.detail]))
        _log.log(level, "%s", told, extra=_end(summary))

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Log how the run of all shards ended; `verdict` is this process's own."""
        told = ": ".join(filter(None, [words.headline(summary), summary.detail]))
        end = {
            "run_verdict": summary.verdict.word,
            "run_tally": summary.run_tally.to_json(),
            "shards": _shards(summary),
        }
        level = _LEVELS.get(summary.verdict, logging.ERROR)
        _log.log(level, "all shards: %s", told, extra=end | {"next_command": summary.next_command})


def log_failure(group: ErrorGroup) -> None:
    """Log a failed record and its kind; of a bug in the job, with its stack."""
    if not _log.isEnabledFor(logging.WARNING):
        return
    told = {f"error_{name}": value for name, value in _group(group).items()}
    # Made by hand: `extra` may not name the stack of a line, and `stack_info` would give the stack of this function.
    args = (words.error(group),)
    _log.handle(_log.makeRecord(_log.name, logging.WARNING, "", 0, "%s", args, None, extra=told, sinfo=group.stack))


def _group(group: ErrorGroup) -> dict[str, Any]:
    return {name: value for name, value in asdict(group).items() if name != "stack"}


def _place(start: Start) -> None:
    """Say on every line from now on whose it is."""
    logs.context(job=start.job, run_id=start.run_id, attempt=start.attempt, task_arn=start.task.arn)


def _start(start: Start) -> dict[str, Any]:
    told = {
        "scope": start.scope,
        "limits": asdict(start.limits),
        "stop_plan": str(start.stop_plan),
        "deadline_s": start.deadline_s,
        "source": start.source,
        "sink": start.sink or None,
        "resumed_from": start.resumed_from,
        "before": start.before.to_json() if start.before.read else None,
        "dry_run": start.dry_run or None,
        "max_records": start.max_records,
        "shard": start.shard,
        "version": start.version or None,
        "task": asdict(start.task) if start.task.arn else None,
        "trigger": start.cause.trigger,
        "scheduled_time": start.cause.scheduled_time,
        "started_by": start.cause.started_by,
    }
    return {name: value for name, value in told.items() if value is not None}


def _end(summary: Summary) -> dict[str, Any]:
    told = {
        "verdict": summary.verdict.word,
        "exit_code": summary.exit_code,
        "detail": summary.detail or None,
        "duration_s": summary.duration_s,
        "tally": summary.tally.to_json(),
        "run_tally": summary.run_tally.to_json() if summary.start.attempt > 1 else None,
        "rate": summary.rate,
        "oldest_age_s": summary.oldest_age_s,
        "throttled_s": summary.throttled_s,
        "limited_by": summary.limited_by or None,
        "peak_memory": summary.peak_memory,
        "cpu_s": summary.cpu_s,
        "commits": summary.commits,
        "errors": [_group(group) for group in summary.errors[:_MOST_GROUPS]] or None,
        "error_groups": len(summary.errors) or None,
        "counters": summary.counters or None,
        "links": summary.links or None,
        "samples": [words.shortened(sample, _LONGEST_SAMPLE) for sample in summary.samples] or None,
        "next_command": summary.next_command,
        "shards": _shards(summary) or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _shards(summary: Summary) -> list[dict[str, Any]]:
    return [
        {"shard": end.shard, "verdict": end.verdict.word, "detail": end.detail, "tally": end.tally.to_json()}
        for end in summary.shards
    ]
