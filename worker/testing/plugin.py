"""The pytest plugin of the kill-anywhere kit: the fixture `kill_anywhere`, and what the trials found out at the end."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from worker.testing.report import Report

_reports = pytest.StashKey[list[Report]]()


@pytest.fixture
def kill_anywhere(request: pytest.FixtureRequest) -> Callable[..., Awaitable[Report]]:
    """Give `worker.testing.anywhere.kill_anywhere`; its reports are printed at the end of the session."""
    from worker.testing import anywhere  # every pytest of an environment loads this file: leave the rest to who asks

    async def reported(job: str, **about: Any) -> Report:
        report = await anywhere.kill_anywhere(job, **about)
        request.config.stash.setdefault(_reports, []).append(report)
        return report

    return reported


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print a line for each trial."""
    if reports := config.stash.get(_reports, []):
        terminalreporter.section("kill anywhere")
        for report in reports:
            terminalreporter.line(str(report))
