"""worker/functions/auditor.py, worker/audit.py: what should have happened and did not is said once, and nothing else is."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws import Aws
from endings import TASK, an_event
from examples import a_summary
from store_worlds import StoreWorld, granted, postgres_world
from stored import a_claim, do
from watch_room import Room, begun, room

from worker import Cron, Every, Job, minutes
from worker.audit import GRACE, due
from worker.claim import Held, lease_of
from worker.functions.auditor import audit
from worker.functions.reporter import report
from worker.scope import Scope
from worker.tally import Tally
from worker.verdict import Verdict

TIMEOUT = minutes(20)
WEEK = timedelta(days=7)


def now() -> datetime:
    """Give the time of the test, not that of its import: in a whole suite minutes lie between the two."""
    return datetime.now(UTC)


def a_job(schedule: Every | Cron | None, timeout: timedelta = TIMEOUT) -> type[Job[Any]]:
    """Give poll-payments with this schedule."""
    return type("PollPayments", (Job,), {"name": "poll-payments", "schedule": schedule, "timeout": timeout})


OFTEN = a_job(Every(minutes=5))
NIGHTLY = a_job(Cron("0 3 * * ? *", zone="Europe/Berlin"))


@pytest.fixture
async def outside(database_url: str, aws: Aws) -> AsyncIterator[Room]:
    """Give all that the auditor talks to, with an empty run store."""
    async with postgres_world(database_url, count=2) as world, room(world, aws) as made:
        yield made


async def audited(outside: Room, job: type[Job[Any]], after: timedelta, **changes: Any) -> list[str]:
    """Audit that job alone, so long after now."""
    doors = replace(outside.doors, found=replace(outside.doors.found, **changes))
    told = await audit(doors, now() + after, lambda: ["poll-payments"], lambda name: job)
    return list(told["told"])


async def ended(outside: Room, run_key: str, verdict: Verdict = Verdict.SUCCEEDED, **claim: Any) -> None:
    """Have a run end now."""
    await granted(outside.world.stores[0], a_claim(run_key, **claim))
    await outside.world.stores[0].end(a_summary(verdict, tally=Tally(), detail="why"))


async def test_auditor_says_once_that_a_run_did_not_come(
    run_store: StoreWorld, aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    """In every kind of run store: what was expected when, what was seen last, what to do; again only after a success."""
    caplog.set_level(logging.INFO)
    async with room(run_store, aws) as outside:
        await ended(outside, "good")
        assert await audited(outside, OFTEN, timedelta()) == []
        assert await audited(outside, OFTEN, minutes(5 + 20) + GRACE - minutes(1)) == []
        assert await audited(outside, OFTEN, minutes(5 + 20) + GRACE + minutes(1)) == ["late/poll-payments"]
        assert await audited(outside, OFTEN, minutes(5 + 20) + GRACE + timedelta(hours=23)) == []
        [message], [alert] = outside.posted, outside.alerts()
        assert len([record for record in caplog.records if "RunMissed" in record.__dict__]) == 1
        text = json.dumps(message["blocks"], ensure_ascii=False)
        for words in (
            "⏰ poll-payments: late",
            "(rate(5 minutes)) should have succeeded within 23 m 00 s, and none did",
            "*Seen last*  poll-payments:good, succeeded",
            "*Last success*  poll-payments:good",
            "python -m worker launch poll-payments",
            "AUDIT_SKIP",
        ):
            assert words in text, words
        assert (alert["Subject"], alert["MessageAttributes"]["kind"]["Value"]) == ("poll-payments: late", "late")
        assert outside.datadog.tags() == [{"job": "poll-payments", "kind": "late", "env": "test"}]
        await ended(outside, "good again")
        assert await audited(outside, OFTEN, timedelta()) == []
        assert await audited(outside, OFTEN, WEEK) == ["late/poll-payments"]


async def test_auditor_says_each_day_that_it_is_still_so(run_store: StoreWorld, aws: Aws) -> None:
    """A page of the day before is forgotten, or was never seen: once a day, whatever the schedule, until there is a success."""
    weekly = a_job(Cron("0 3 ? * MON *"))
    async with room(run_store, aws) as outside:
        for job, since in ((OFTEN, now()), (weekly, None)):
            await audited(outside, job, timedelta())
            if since is None:
                first = job.schedule.following(now()) if job.schedule else None
                assert first is not None
                since = first - minutes(5)
            late = since - now() + minutes(5 + 20) + GRACE + minutes(1)
            hours = [late + timedelta(hours=number) for number in (0, 1, 23, 25, 26, 49)]
            told = [await audited(outside, job, after) != [] for after in hours]
            assert told == [True, False, False, True, False, True], job.schedule
            days = [
                alert["Message"].partition("It has been late for ")[2].partition(" now")[0]
                for alert in outside.alerts()
            ]
            assert days == ["", "1 day", "2 days"]
        assert len(outside.posted) == 6


async def test_auditor_names_each_run_of_the_calendar(outside: Room) -> None:
    """Two nights are two runs, each said once, with the key to start it under; a run of yesterday does not count for today."""
    assert await audited(outside, NIGHTLY, timedelta()) == []
    for _ in range(2):
        await audited(outside, NIGHTLY, timedelta(days=2))
    await audited(outside, NIGHTLY, timedelta(days=3))
    wanted = [due(NIGHTLY, now() + timedelta(days=number)) for number in (2, 3)]
    commands = [f"--run-key {one.since:%Y-%m-%dT%H:%M:%SZ}" for one in wanted if one]
    assert [command in alert["Message"] for command, alert in zip(commands, outside.alerts(), strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize("job", [OFTEN, NIGHTLY])
async def test_auditor_gives_a_new_job_time_for_its_first_run(outside: Room, job: type[Job[Any]]) -> None:
    """Seen for the first time, it owes nothing from before; nor when its schedule is another one."""
    assert await audited(outside, job, timedelta()) == []
    assert await audited(outside, a_job(Every(hours=1)), timedelta()) == []


async def test_auditor_gives_a_new_schedule_time_for_its_first_run(outside: Room) -> None:
    """Watched for a day under the old one, it would be late at once."""
    await audited(outside, OFTEN, timedelta())
    await do(outside.world.reader._link, "UPDATE worker.marks SET at = at - interval '1 day'")  # type: ignore[attr-defined]
    assert await audited(outside, a_job(Every(hours=1)), timedelta()) == []
    await do(outside.world.reader._link, "UPDATE worker.marks SET at = at - interval '1 day'")  # type: ignore[attr-defined]
    assert await audited(outside, a_job(Every(hours=1)), timedelta()) == ["late/poll-payments"]


async def test_auditor_leaves_a_job_alone_whose_schedule_is_disabled(outside: Room) -> None:
    """AUDIT_SKIP says so; a name in it that is none is an error."""
    await audited(outside, OFTEN, timedelta())
    assert await audited(outside, OFTEN, WEEK, audit_skip=("poll-payments",)) == []
    assert outside.posted == []
    with pytest.raises(RuntimeError, match="AUDIT_SKIP names pol-payments, which is no job; there are poll-payments"):
        await audited(outside, a_job(None), WEEK, audit_skip=("pol-payments",))


@pytest.mark.parametrize(
    "run",
    [
        {"mode": "dry-run"},
        {"scope": {"merchant_id": 42}, "whole_scope": b'{"merchant_id":42}'},
        {"verdict": Verdict.ABORTED},
    ],
)
async def test_auditor_counts_only_a_whole_success(outside: Room, run: dict[str, Any]) -> None:
    """Neither a dry run nor a part of the records is what the schedule owes, nor an abort."""
    await audited(outside, OFTEN, timedelta())
    await ended(outside, "other", **run)
    assert await audited(outside, OFTEN, minutes(30)) == ["late/poll-payments"]


async def moved(outside: Room, **columns: datetime) -> None:
    """Have the run begin or end at another time."""
    changes = ", ".join(f"{name} = '{when.isoformat()}'" for name, when in columns.items())
    await do(outside.world.reader._link, f"UPDATE worker.runs SET {changes}")  # type: ignore[attr-defined]


@pytest.mark.parametrize("one_per_scope", [False, True])
async def test_auditor_waits_for_a_run_that_began_late(outside: Room, one_per_scope: bool) -> None:
    """It has its timeout, whenever it began, and whichever lease it holds."""
    job = type("PollPayments", (OFTEN,), {"one_per_scope": one_per_scope})
    await audited(outside, job, timedelta())
    await begun(outside.world, lease=lease_of("poll-payments", Scope() if one_per_scope else None))
    await moved(outside, created_at=now() + minutes(25))
    assert await audited(outside, job, minutes(40)) == []
    assert await audited(outside, job, minutes(50)) == ["late/poll-payments"]


async def test_auditor_takes_no_run_of_yesterday_for_that_of_today(outside: Room) -> None:
    """Yesterday's was gone on with today, and succeeded: today's is missing all the same."""
    await audited(outside, NIGHTLY, timedelta())
    wanted = due(NIGHTLY, now() + timedelta(days=2))
    assert wanted is not None
    await ended(outside, "yesterday")
    await moved(outside, created_at=wanted.since - timedelta(days=1), ended_at=wanted.since + minutes(10))
    assert await audited(outside, NIGHTLY, timedelta(days=2)) == ["late/poll-payments"]
    await moved(outside, created_at=wanted.since)
    assert await audited(outside, NIGHTLY, timedelta(days=2)) == []


async def test_auditor_says_once_that_a_worker_died_and_has_no_successor(run_store: StoreWorld, aws: Aws) -> None:
    """Not while one may come, not of long ago, and not what the reporter has said."""
    _, two, *_ = run_store.stores
    async with room(run_store, aws) as outside:
        await begun(run_store, task_arn=TASK)
        held = await two.claim(a_claim("next"))
        assert isinstance(held, Held)
        await two.claim(a_claim("next"), successor_of=held)
        none = a_job(None)
        assert await audited(outside, none, minutes(4)) == []
        assert await audited(outside, none, timedelta(days=2)) == []
        assert await audited(outside, none, minutes(6)) == ["dead/poll-payments:2026-11-24T02:00:00Z"]
        assert await audited(outside, none, minutes(7)) == []
        [message] = outside.posted
        text = json.dumps(message["blocks"], ensure_ascii=False)
        assert "Attempt 1 fell silent" in text
        assert "2 read = 2 done" in text
        assert "python -m worker launch poll-payments --run-key 2026-11-24T02:00:00Z" in text


async def test_auditor_does_not_mind_a_dry_run_that_died(outside: Room) -> None:
    """It changed nothing, and whoever looked at it knows."""
    await begun(outside.world, task_arn=TASK, mode="dry-run")
    two = outside.world.stores[1]
    held = await two.claim(a_claim("next"))
    assert isinstance(held, Held)
    await two.claim(a_claim("next"), successor_of=held)
    [dead, *_] = [run for run in await outside.world.reader.latest("poll-payments", 9) if run.dry_run]
    assert (dead.status, dead.detail) == ("interrupted", "killed")
    assert await audited(outside, a_job(None), minutes(6)) == []


async def test_auditor_does_not_repeat_the_reporter(outside: Room) -> None:
    """A task that was killed was said to be when it stopped."""
    await begun(outside.world, task_arn=TASK)
    await report(an_event("SIGKILL without a reason"), outside.doors)
    two = outside.world.stores[1]
    held = await two.claim(a_claim("next"))
    assert isinstance(held, Held)
    await two.claim(a_claim("next"), successor_of=held)
    assert await audited(outside, a_job(None), minutes(6)) == []


async def test_auditor_says_it_again_where_sns_did_not_take_it(outside: Room) -> None:
    """The next audit, five minutes later, has it; Slack is told once."""
    await audited(outside, OFTEN, timedelta())
    broken = replace(outside.doors.found, alerts_topic="arn:aws:sns:eu-central-1:123456789012:gone")
    doors = replace(outside.doors, teller=replace(outside.doors.teller, found=broken))
    with pytest.raises(RuntimeError, match="poll-payments could not be audited: sns publish"):
        await audit(doors, now() + WEEK, lambda: ["poll-payments"], lambda name: OFTEN)
    assert await audited(outside, OFTEN, WEEK) == ["late/poll-payments"]
    assert (len(outside.alerts()), len(outside.posted)) == (1, 1)


def test_due_is_nothing_before_the_first_time() -> None:
    """A job without a schedule owes nothing, nor does one whose year is yet to come."""
    assert due(a_job(None), now()) is None
    assert due(a_job(Cron("0 3 1 1 ? 2199")), now()) is None
