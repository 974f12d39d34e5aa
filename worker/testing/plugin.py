"""The pytest plugin of the kill-anywhere kit: the fixture `kill_anywhere`, and what the trials found out at the end."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

import pytest

from worker.testing import anywhere
from worker.testing.report import Report

_reports = pytest.StashKey[list[Report]]()


@pytest.fixture
def kill_anywhere(request: pytest.FixtureRequest) -> Callable[..., Awaitable[Report]]:
    """Give `worker.testing.anywhere.kill_anywhere`; its reports are printed at the end of the session."""
    reports = request.config.stash.setdefault(_reports, [])

    @wraps(anywhere.kill_anywhere)
    async def reported(job: str, **about: Any) -> Report:
        report = await anywhere.kill_anywhere(job, **about)
        reports.append(report)
        return report

    return reported


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print a line for each trial."""
    if reports := config.stash.get(_reports, []):
        terminalreporter.section("kill anywhere")
        for report in reports:
            terminalreporter.line(str(report))
