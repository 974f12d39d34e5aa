"""Choose who hears of an attempt: the terminal or the log, CloudWatch, Datadog, Slack."""

import logging

from worker.environment import Settings
from worker.events import Reporter, Reporters
from worker.mask import Mask
from worker.report.datadog import datadog_reporter
from worker.report.emf import EmfReporter
from worker.report.log_reporter import LogReporter
from worker.report.slack import slack_reporter


def reporter(found: Settings, job: str, mask: Mask) -> Reporter:
    """Build all that the environment asks for."""
    chosen = (LogReporter(), EmfReporter(found.dd_env), datadog_reporter(found, job), slack_reporter(found, mask))
    return Reporters([one for one in chosen if one is not None], logging.getLogger("worker.report"))
