"""The stop, its plan, the verdicts and the schedules."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.schedule import Cron, Every, hours, minutes, seconds
from worker.stop import Stop, StopPlan
from worker.verdict import Verdict


@given(st.floats(2, 7_200))
def test_stop_plan_fits_into_its_time(timeout_s: float) -> None:
    """Drain, commit and report take no longer than the stop timeout, with something to spare, and each gets its part."""
    plan = StopPlan.within(timeout_s)
    assert min(plan.drain, plan.commit, plan.report) > 0
    assert plan.drain + plan.commit + plan.report <= timeout_s - max(0.5, timeout_s * 0.1) + 1e-6
    assert plan.commit <= 15
    assert plan.report <= 10


def test_stop_plan_says_itself() -> None:
    """The start log has it in one line."""
    assert str(StopPlan.within(30)) == "30 s: drain 13.5 s, commit 6.8 s, report 6.8 s"


async def test_stop_keeps_the_first_reason() -> None:
    """The first one who asks is named; the second one means at once."""
    stop = Stop()
    waiting, hurried = asyncio.create_task(stop.wait()), asyncio.create_task(stop.wait_hurried())
    await asyncio.sleep(0)
    assert not stop
    stop.ask("the deadline passed")
    await waiting
    assert stop
    assert not stop.at_once
    assert not hurried.done()
    stop.ask("SIGTERM")
    await hurried
    assert (stop.reason, stop.at_once) == ("the deadline passed", True)


def test_verdict_maps_each_end_to_its_exit_code() -> None:
    """The codes are those of the design, and only a real success is called one."""
    codes = {verdict.word: verdict.exit_code for verdict in Verdict}
    assert codes == {
        "succeeded": 0,
        "already done": 0,
        "already running": 0,
        "overlapped": 0,
        "aborted": 1,
        "crashed": 1,
        "completed with failures": 1,
        "could not start": 2,
        "lost its lease": 3,
        "interrupted": 75,
    }
    assert [Verdict.of(verdict.word) for verdict in Verdict] == list(Verdict)
    assert {verdict for verdict in Verdict if verdict.finished} == {Verdict.SUCCEEDED}
    idle = {Verdict.ALREADY_DONE, Verdict.ALREADY_RUNNING, Verdict.OVERLAPPED, Verdict.NOT_STARTED}
    assert {verdict for verdict in Verdict if not verdict.worked} == idle


@pytest.mark.parametrize(
    ("every", "expression", "interval"),
    [
        (Every(minutes=5), "rate(5 minutes)", minutes(5)),
        (Every(minutes=1), "rate(1 minute)", seconds(60)),
        (Every(hours=1), "rate(1 hour)", minutes(60)),
        (Every(hours=24), "rate(24 hours)", timedelta(days=1)),
        (Every(minutes=90), "rate(90 minutes)", hours(1.5)),
        (Every(minutes=60, hours=1), "rate(2 hours)", hours(2)),
    ],
)
def test_schedule_is_what_eventbridge_takes(every: Every, expression: str, interval: timedelta) -> None:
    """An interval is written as EventBridge wants it: whole hours where it can, one without a plural."""
    assert str(every) == expression
    assert every.interval == interval


def test_schedule_refuses_what_never_runs() -> None:
    """No interval, or a cron line of the other kind, is refused where it is written."""
    with pytest.raises(ValueError, match="at least one minute"):
        Every()
    with pytest.raises(ValueError, match="six fields"):
        Cron("0 2 * * *")
    assert str(Cron("0 2 * * ? *", "Europe/Berlin")) == "cron(0 2 * * ? *) Europe/Berlin"
