"""Choose who hears of an attempt: the terminal or the log, CloudWatch, Datadog, Slack."""

from collections.abc import Sequence

from worker.environment import Settings
from worker.events import Reporter
from worker.mask import Mask
from worker.report.emf import EmfReporter
from worker.report.log_reporter import LogReporter


def reporters(found: Settings, job: str, mask: Mask) -> Sequence[Reporter]:
    """Build the reporters that the environment asks for."""
    chosen: list[Reporter] = [LogReporter(), EmfReporter(found.dd_env)]
    return chosen
