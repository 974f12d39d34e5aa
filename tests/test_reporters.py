"""Telling several reporters, some of which are slow, broken or stubborn."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest
from fakes import now

from worker.events import Commit, ErrorGroup, Progress, Reporter, Reporters, Start, Summary
from worker.tally import Tally
from worker.verdict import Verdict

LOG = logging.getLogger("reporters")
START = Start(job="j", run_id="j:k", run_key="k", attempt=1, started_at=datetime.now(UTC))
SUMMARY = Summary(start=START, verdict=Verdict.SUCCEEDED, ended_at=datetime.now(UTC))


class Heard(Reporter):
    """Note what was told; take some time for the end."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.all: list[object] = []

    def started(self, start: Start) -> None:
        """Note it."""
        self.all.append(start)

    def progress(self, progress: Progress) -> None:
        """Note it."""
        self.all.append(progress)

    def committed(self, commit: Commit) -> None:
        """Note it."""
        self.all.append(commit)

    def failed(self, group: ErrorGroup) -> None:
        """Note it."""
        self.all.append(group)

    def retried(self, error: str) -> None:
        """Note it."""
        self.all.append(error)

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Note the budget, after a while."""
        await asyncio.sleep(self.takes_s)
        self.all.append(budget_s)


class Broken(Heard):
    """Raise whatever is said."""

    def started(self, start: Start) -> None:
        """Break."""
        raise RuntimeError("broken")

    progress = committed = failed = retried = started  # type: ignore[assignment]

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Break."""
        raise RuntimeError("broken")


class Stubborn(Heard):
    """Do not notice that it is given up."""

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Go on whatever happens."""
        while not self.all:
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                continue


def test_reporters_tell_everybody_whoever_breaks(caplog: pytest.LogCaptureFixture) -> None:
    """One that breaks costs a log line each time; the ones after it hear everything."""
    said = (
        ("started", START),
        ("progress", Progress(elapsed_s=1, tally=Tally())),
        ("committed", Commit(number=1, records=1, written=1, cursor=None, open_keys=0, duration_s=0)),
        ("failed", ErrorGroup(fingerprint="f", type="t", message="m", sample_key="1", count=1)),
        ("retried", "again"),
    )
    heard = Heard()
    reporters = Reporters([Broken(), heard], LOG)
    for what, event in said:
        getattr(reporters, what)(event)
    assert heard.all == [event for _, event in said]
    assert [record.getMessage() for record in caplog.records] == [
        f"the report {what} of Broken failed" for what, _ in said
    ]


@pytest.mark.looptime
async def test_reporters_end_together_within_the_budget(caplog: pytest.LogCaptureFixture) -> None:
    """All endings go on at the same time; a slow, broken or stubborn one keeps nobody for long, and each is logged."""
    quick, slower, late, stubborn = Heard(1), Heard(2), Heard(60), Stubborn()
    await Reporters([Broken(), quick, late, stubborn, slower], LOG).ended(SUMMARY, 3)
    assert quick.all == slower.all == [3]
    assert late.all == []
    assert 3 <= now() <= 4.1
    messages = sorted(record.getMessage() for record in caplog.records)
    assert messages == [
        "a report of the end failed: RuntimeError('broken')",
        *["a report of the end took longer than 3 s and was given up"] * 2,
    ]
    stubborn.all.append("enough")


@pytest.mark.looptime
async def test_reporters_without_anybody_end_at_once() -> None:
    """Nobody to tell is no reason to wait."""
    await Reporters([], LOG).ended(SUMMARY, 3)
    assert now() == 0
