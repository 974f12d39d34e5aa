"""POST /admin/<job> and GET /admin/runs/<id>, over real HTTP with real processes behind it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from admin_room import Room, served

from worker.run_key import check


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with served(tmp_path) as made:
        yield made


async def test_start_waits_for_the_summary(room: Room) -> None:
    """With `wait`, the answer is the run at its end."""
    response, run = await room.post("poll-payments", merchant_id=42, run_key="k", wait=True)
    assert response.status == 200
    assert (run["status"], run["exit_code"], run["summary"]) == ("succeeded", 0, {"verdict": "succeeded"})
    assert (await room.said("started"))["environment"]["JOB_MERCHANT_ID"] == "42"
    assert (await room.get("/admin/runs/poll-payments:k"))[1] == run


async def test_start_answers_at_once_where_to_look(room: Room) -> None:
    """Without `wait`: 202, the run's id and its place, which knows it from the first moment on."""
    response, run = await room.post("poll-payments", act="hold")
    assert (response.status, run["status"], run["dry_run"]) == (202, "pending", False)
    assert check(run["run_key"]).startswith("hand-")
    assert response.get_header("location") == f"/admin/runs/{run['run_id']}"
    assert (await room.get(f"/admin/runs/{run['run_id']}"))[1]["status"] == "pending"
    await room.said("started")
    assert (await room.get(f"/admin/runs/{run['run_id']}"))[1]["status"] == "running"


async def test_start_of_a_run_that_outlasts_the_wait_is_accepted(room: Room) -> None:
    """A wait that is too short ends with 202 and the run as it is."""
    response, run = await room.post("poll-payments", act="hold", wait=0.01)
    assert response.status == 202
    assert run["status"] in ("pending", "running")


async def test_start_with_the_same_key_is_the_same_run(room: Room) -> None:
    """Going on or done, by body or by header: the run is answered, and no second process starts."""
    await room.post("poll-payments", act="hold", run_key="k")
    request = room.client.post("/admin/poll-payments").header("Idempotency-Key", "k").body_json({"act": "hold"})
    response = await request.build().send()
    assert (response.status, (await response.json())["run_id"]) == (200, "poll-payments:k")
    assert len(room.children.live) == 1
    room.runs.put(job="sync-customers", run_key="d", status="succeeded", exit_code=0)
    response, run = await room.post("sync-customers", run_key="d", wait=True)
    assert (response.status, run["status"]) == (200, "succeeded")
    assert room.children.find("sync-customers:d") is None


async def test_start_at_the_same_moment_starts_once(room: Room) -> None:
    """Ten requests with one key start one process."""
    answers = await asyncio.gather(*(room.post("poll-payments", act="hold", run_key="k") for _ in range(10)))
    assert sorted(response.status for response, _ in answers) == [200] * 9 + [202]
    await room.said("started")
    assert room.lines.empty()


async def test_start_goes_on_with_what_was_interrupted(room: Room) -> None:
    """The same key after an interruption is a start; until it is taken up, the run is pending."""
    room.runs.put(job="poll-payments", run_key="k", status="interrupted", exit_code=75, scope={"act": "hold"})
    response, run = await room.post("poll-payments", act="hold", run_key="k")
    assert (response.status, run["status"], run["exit_code"]) == (202, "pending", None)
    await room.said("started")


async def test_start_after_a_dry_run_is_a_start(room: Room) -> None:
    """A dry run uses up no key, whatever its scope was."""
    _, trial = await room.post("poll-payments", run_key="k", dry_run=True, wait=True)
    assert (trial["dry_run"], trial["status"]) == (True, "succeeded")
    assert trial["run_key"].startswith("k~dry-")
    assert (await room.said("started"))["environment"]["RUN_KEY"] == trial["run_key"]
    _, run = await room.post("poll-payments", merchant_id=1, run_key="k", wait=True)
    assert (run["run_id"], run["dry_run"]) == ("poll-payments:k", False)


@pytest.mark.parametrize("elsewhere", [True, False])
async def test_start_beside_another_run_of_the_job_is_refused(room: Room, elsewhere: bool) -> None:
    """The run that goes on is named, whether it is in the store or has only just been started here."""
    if elsewhere:
        room.runs.put(job="poll-payments", run_key="first", status="running")
    else:
        await room.post("poll-payments", act="hold", run_key="first")
    response, problem = await room.post("poll-payments", run_key="second")
    assert response.status == 409
    assert problem["run"]["run_id"] == "poll-payments:first"
    assert "poll-payments:first is going on" in problem["detail"]
    assert (await room.post("sync-customers", run_key="second", wait=True))[0].status == 200


@pytest.mark.parametrize(
    ("known", "body", "words"),
    [
        ({"status": "succeeded", "scope": {"merchant_id": 1}}, {"merchant_id": 2}, "another scope"),
        ({"status": "running", "dry_run": True}, {}, "is a dry run"),
        ({"status": "succeeded", "dry_run": True}, {}, "is a dry run"),
    ],
)
async def test_start_refuses_a_key_that_means_another_run(
    room: Room, known: dict[str, object], body: dict[str, object], words: str
) -> None:
    """A key names one scope, and a dry run is not taken for a real one."""
    room.runs.put(job="poll-payments", run_key="k", **known)
    response, problem = await room.post("poll-payments", run_key="k", **body)
    assert response.status == 409
    assert words in problem["detail"]


async def test_start_that_lost_the_race_for_the_lease_says_so(room: Room) -> None:
    """Where the process finds another run going on, its caller gets the 409 after all."""
    response, problem = await room.post("poll-payments", act="overlap", wait=True)
    assert (response.status, problem["detail"]) == (409, "poll-payments:other is going on")


async def test_start_that_could_not_start_gives_its_faults(room: Room) -> None:
    """Faults of the process are answered with `wait`, stand at the run, and do not use up the key."""
    response, problem = await room.post("poll-payments", act="refuse", run_key="k", wait=True)
    assert (response.status, response.get_header("content-type")) == (502, "application/problem+json")
    assert [error["detail"] for error in problem["errors"]] == [
        "STRIPE_API_KEY is not set",
        "the schema is not migrated",
    ]
    response, run = await room.get("/admin/runs/poll-payments:k")
    assert (response.status, run["status"], run["exit_code"]) == (200, "could not start", 2)
    assert run["faults"] == ["STRIPE_API_KEY is not set", "the schema is not migrated"]
    assert (await room.post("poll-payments", run_key="k", wait=True))[0].status == 200


async def test_start_that_could_not_start_again_outdates_the_store(room: Room) -> None:
    """A failed resume is not told as the interruption before it."""
    room.runs.put(
        job="poll-payments", run_key="k", status="interrupted", scope={"act": "refuse"}, ended_at="2026-01-01T00:00:00Z"
    )
    assert (await room.post("poll-payments", act="refuse", run_key="k", wait=True))[0].status == 502
    assert (await room.get("/admin/runs/poll-payments:k"))[1]["status"] == "could not start"
    room.runs.put(
        job="poll-payments", run_key="k", status="succeeded", scope={"act": "refuse"}, ended_at="2999-01-01T00:00:00Z"
    )
    assert (await room.get("/admin/runs/poll-payments:k"))[1]["status"] == "succeeded"


async def test_start_waits_for_a_run_that_is_not_its_own(room: Room) -> None:
    """`wait` on a run of another server follows it in the store."""
    room.runs.put(job="poll-payments", run_key="k", status="running")
    waiting = asyncio.create_task(room.post("poll-payments", run_key="k", wait=True))
    await room.get("/admin/runs/poll-payments:k")
    room.runs.put(job="poll-payments", run_key="k", status="succeeded", exit_code=0)
    response, run = await waiting
    assert (response.status, run["status"]) == (200, "succeeded")


async def test_start_is_audited_with_its_scope_masked(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """One line a start: who, what, which run; no secret of the scope, and no token anywhere."""
    with caplog.at_level(logging.INFO, "worker.admin"):
        _, run = await room.post("poll-payments", act="refuse", secret="hush-hush", run_key="k", wait=True)
    lines = [vars(record) for record in caplog.records if record.message == "run started by request"]
    assert [(line["token"], line["job"], line["run_id"]) for line in lines] == [
        ("qa", "poll-payments", "poll-payments:k")
    ]
    assert lines[0]["scope"] == run["run"]["scope"] == {"act": "refuse", "secret": "***"}
    assert "hush-hush" not in str([vars(record) for record in caplog.records])
