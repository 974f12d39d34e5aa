"""What the console reads: jobs, pages of runs, a run while it works and after, dead letters."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from admin_room import Room, served

from worker import Cron, Every, Job
from worker.admin.listing import about, following
from worker.admin.live import Line, Live
from worker.runs import RunView

AT = datetime(2026, 11, 23, 6, tzinfo=UTC)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with served(tmp_path) as made:
        yield made


async def test_looks_list_the_jobs_with_their_last_runs(room: Room) -> None:
    """What each is for and may be asked, at most twenty of its runs, newest first, and what the token may do."""
    for number in range(25):
        room.runs.put(
            job="poll-payments", run_key=f"{number:02}", status="succeeded", created_at=f"2026-11-23T06:{number:02}:00Z"
        )
    response, told = await room.get("/admin/jobs")
    assert response.status == 200
    polls, syncs = told["jobs"]
    assert (polls["name"], polls["limits"]["concurrency"], polls["schedule"], polls["next"]) == (
        "poll-payments",
        64,
        None,
        None,
    )
    assert polls["scope"]["$defs"]["PollScope"]["properties"]["secret"]["anyOf"][0]["format"] == "password"
    assert [run["run_id"] for run in polls["runs"]] == [f"poll-payments:{number:02}" for number in range(24, 4, -1)]
    assert syncs["runs"] == []
    assert told["token"] == {"name": "qa", "rights": ["read", "start:*", "stop:*", "replay:*"]}


def test_looks_say_when_a_job_is_due_and_what_it_lacks() -> None:
    """The schedule's next time, in UTC; the variables that its runs would not find here."""

    class Nightly(Job[Any]):
        """Count the night's orders."""

        name = "nightly"
        schedule = Every(minutes=5)
        secrets = ("API_KEY",)
        environment: ClassVar[Mapping[str, str | None]] = {"TABLE": None, "SIZE": "3"}

    told = about(Nightly, {"TABLE": "x"})
    assert (told["schedule"], told["missing"]) == ({"text": "rate(5 minutes)", "zone": "UTC"}, ["API_KEY"])
    assert about(Nightly, None)["missing"] == []
    runs = [
        RunView(job="nightly", run_id=f"nightly:{key}", run_key=key, dry_run=dry, status="succeeded", created_at=AT)
        for key, dry in (
            ("2026-11-23T02:05:00Z", False),
            ("2026-11-23T02:00:00Z", False),
            ("hand-20261124T060245Z-7f3a", False),
            ("2026-11-23T09:00:00Z~dry-20261124T060245Z-7f3a", True),
        )
    ]
    assert following(Nightly, runs) == datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
    assert following(Nightly, runs[2:]) is None

    class Daily(Job[Any]):
        """Count the day's."""

        name = "daily"
        schedule = Cron("0 2 * * ? *")

    due = following(Daily, [])
    assert due is not None
    assert due > datetime.now(UTC)


async def test_looks_turn_pages_of_runs(room: Room) -> None:
    """Page after page each run comes once; a page says where the next one begins."""
    for number in range(5):
        job = ("poll-payments", "sync-customers")[number % 2]
        room.runs.put(
            job=job, run_key=f"{number}", status="succeeded", created_at=f"2026-11-23T06:0{number}:00.000007Z"
        )
    found, before = [], ""
    while before is not None:
        _, page = await room.get(f"/admin/runs?limit=2&before={before}" if before else "/admin/runs?limit=2")
        found += [run["run_key"] for run in page["runs"]]
        before = page["next"]
    assert found == ["4", "3", "2", "1", "0"]
    _, page = await room.get("/admin/runs?job=sync-customers&status=succeeded")
    assert [run["run_key"] for run in page["runs"]] == ["3", "1"]
    assert not {"attempts", "summary"} & set(page["runs"][0])


async def test_looks_refuse_a_query_that_means_nothing(room: Room) -> None:
    """All that is wrong is named at once."""
    response, problem = await room.get("/admin/runs?job=poll&status=done&before=x&limit=0&page=3")
    assert (response.status, len(problem["errors"])) == (422, 5)
    response, problem = await room.get("/admin/runs?limit=1&limit=2")
    assert (response.status, problem["errors"][0]["detail"]) == (422, "limit is said twice")
    for after in ("%00", "ü", "e30", "WzFlOTk5XQ", "WyL_Il0"):  # the last is not UTF-8
        assert (await room.get(f"/admin/runs/poll-payments:k/dead-letters?after={after}"))[0].status == 422, after
    assert (await room.get("/admin/runs/poll-payments:%00"))[0].status == 404


async def test_looks_follow_a_run_while_it_works(room: Room) -> None:
    """What its process said last, and its errors by group; of ten seconds one line goes on to our log."""
    _, run = await room.post("poll-payments", act="hold", run_key="k")
    assert (run["live"], run["errors"], run["slack"]) == (None, [], [])
    assert (await room.lines.get())["limits"] == {"rate": {"count": 180, "per": 2.0}}
    assert (await room.lines.get())["rate"] == 5.0
    assert [(await room.lines.get())["error_count"] for _ in range(2)] == [1, 10]
    assert (await room.lines.get())["event"] == "started"
    _, run = await room.get("/admin/runs/poll-payments:k")
    assert run["live"] == {
        "elapsed_s": 2.0, "rate": 90.0, "eta_s": 9.0, "total": 100, "limited_by": "rate", "in_flight": 3,
        "last_error": None, "stopping": None, "tally": {"read": 7},
    }  # fmt: skip
    assert run["errors"] == [{"type": "Refused", "message": "no", "count": 10, "sample_key": "7"}]
    assert [(point["rate"], point["failed"]) for point in run["series"]] == [(5.0, 0), (90.0, 0)]
    assert run["limit"] == 90.0


def test_looks_keep_little_of_a_long_run() -> None:
    """What it said over days is thinned out, evenly enough: from its first word to its last."""
    live = Live()
    for number in range(5_000):
        live.hear(Line(elapsed_s=2.0 * number, in_flight=1, rate=float(number)))
    rates = [point["rate"] for point in live.series]
    assert len(rates) <= 300
    assert (rates[0], rates[-1], rates == sorted(rates)) == (0.0, 4_999.0, True)


async def test_looks_show_a_run_that_is_over(room: Room) -> None:
    """Its errors are those of its summary."""
    group = {"fingerprint": "f", "type": "Refused", "message": "no", "sample_key": "7", "count": 3}
    room.runs.put(job="poll-payments", run_key="k", status="aborted", summary={"errors": [group]})
    _, run = await room.get("/admin/runs/poll-payments:k")
    assert (run["live"], run["series"], run["limit"]) == (None, [], None)
    assert run["errors"] == [{"type": "Refused", "message": "no", "count": 3, "sample_key": "7"}]


async def test_looks_turn_pages_of_dead_letters(room: Room) -> None:
    """In the order of their keys; a run without any, and one that is not there, are told apart."""
    at = {
        "type": "Refused",
        "message": "no",
        "tries": 1,
        "first_at": "2026-11-23T06:00:00Z",
        "last_at": "2026-11-23T06:00:00Z",
    }
    room.runs.put(
        job="poll-payments", run_key="k", status="aborted", letters=[{"key": [n, "a"], **at} for n in range(3)]
    )
    found, path = [], "/admin/runs/poll-payments:k/dead-letters?limit=2"
    _, page = await room.get(path)
    found += page["letters"]
    _, page = await room.get(f"{path}&after={page['next']}")
    found += page["letters"]
    assert ([letter["key"] for letter in found], page["next"]) == ([[0, "a"], [1, "a"], [2, "a"]], None)
    room.runs.put(job="poll-payments", run_key="clean", status="succeeded")
    assert (await room.get("/admin/runs/poll-payments:clean/dead-letters"))[1] == {"letters": [], "next": None}
    assert (await room.get("/admin/runs/poll-payments:none/dead-letters"))[0].status == 404
