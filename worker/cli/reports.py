"""Choose who hears of an attempt: the terminal or the log, CloudWatch, Datadog, Slack."""

import logging
from typing import TYPE_CHECKING

from worker.environment import Settings
from worker.events import Reporter, Reporters
from worker.mask import Mask
from worker.report import logs
from worker.report.datadog import datadog_reporter
from worker.report.emf import EmfReporter
from worker.report.log_reporter import LogReporter
from worker.report.slack import slack_reporter
from worker.report.terminal import TerminalReporter, terminal_reporter

if TYPE_CHECKING:
    from worker.report.traces import Traces


def reporter(found: Settings, job: str, mask: Mask) -> "tuple[Reporter, Traces | None]":
    """Set up logging and build all that the environment asks for; traces, where they are on, are to wrap the attempt's parts, too."""
    terminal = terminal_reporter(found, mask)
    logs.configure(found.log_format, found.log_level, mask, terminal.stream if terminal else None)
    traces = _traces(found, job, mask)
    chosen: list[Reporter | None] = [
        traces,
        None if isinstance(terminal, TerminalReporter) else LogReporter(),  # the display says all that the log would
        terminal,
        EmfReporter(found.dd_env) if terminal is None else None,
        datadog_reporter(found, job),
        slack_reporter(found, mask),
    ]
    return Reporters([one for one in chosen if one is not None], logging.getLogger("worker.report")), traces


def _traces(found: Settings, job: str, mask: Mask) -> "Traces | None":
    if not found.trace_enabled:
        return None
    from worker.report.tracer import begin
    from worker.report.traces import Traces

    return Traces(begin(found, job, mask), found.trace_records)
