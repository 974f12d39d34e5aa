"""Choose who hears of an attempt: the terminal or the log, CloudWatch, Datadog, Slack."""

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from worker.environment import Settings
from worker.events import Reporter, Reporters
from worker.mask import Mask
from worker.report import logs
from worker.report.datadog import datadog_reporter
from worker.report.emf import EmfReporter
from worker.report.log_reporter import LogReporter
from worker.report.shard_reporter import ShardReporter
from worker.report.slack import slack_reporter
from worker.report.terminal import TerminalReporter, TextReporter, terminal_reporter

if TYPE_CHECKING:
    from worker.report.traces import Traces


def reporter(found: Settings, job: str, mask: Mask, tell: int | None = None) -> "tuple[Reporter, Traces | None]":
    """Set up logging and build all that the environment asks for; traces, where they are on, are to wrap the attempt's parts, too.

    What is shown goes to the file `tell` instead, where there is one.
    """
    terminal = _configured(found, mask) if tell is None else None
    if tell is not None:
        logs.configure(found.log_format, found.log_level, mask)
    traces = _traces(found, job, mask)
    chosen = [
        traces,
        *(_shown(terminal, found) if tell is None else [ShardReporter(tell, logs_failures=found.log_format != "text")]),
        EmfReporter(found.dd_env) if terminal is None and found.log_format != "text" else None,
        datadog_reporter(found, job),
        slack_reporter(found, mask),
    ]
    return _together(chosen), traces


def overseer(found: Settings, mask: Mask) -> tuple[Reporter, Reporter, TextIO]:
    """Set up logging; build what shows how all shards go, what posts how they ended, and where their own lines are to be written."""
    terminal = _configured(found, mask)
    return (
        _together(_shown(terminal, found)),
        _together([slack_reporter(found, mask)]),
        terminal.stream if terminal else sys.stdout,
    )


def _configured(found: Settings, mask: Mask) -> TextReporter | None:
    terminal = terminal_reporter(found, mask)
    logs.configure(found.log_format, found.log_level, mask, terminal.stream if terminal else None)
    return terminal


def _shown(terminal: TextReporter | None, found: Settings) -> list[Reporter | None]:
    logged = (
        None if isinstance(terminal, TerminalReporter) else LogReporter(found.progress_every_s)
    )  # the display says all that the log would
    return [logged, terminal]


def _together(chosen: Sequence[Reporter | None]) -> Reporter:
    return Reporters([one for one in chosen if one is not None], logging.getLogger("worker.report"))


def _traces(found: Settings, job: str, mask: Mask) -> "Traces | None":
    if not found.trace_enabled:
        return None
    from worker.report.tracer import begin
    from worker.report.traces import Traces

    return Traces(begin(found, job, mask), found.trace_records)
