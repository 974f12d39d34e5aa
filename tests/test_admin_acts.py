"""Stop, resume and replay over HTTP, with real processes behind it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from admin_room import PollPayments, Room, served

from worker.admin.again import replayed, resumed
from worker.admin.problems import Problem
from worker.runs import RunView

INTERRUPTED = {"job": "poll-payments", "run_key": "k", "status": "interrupted", "exit_code": 75}
FAILED = {"job": "poll-payments", "run_key": "k", "status": "completed with failures", "tally": {"failed": 2}}


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with served(tmp_path) as made:
        yield made


async def test_acts_stop_ends_a_run_as_interrupted(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """Its process gets SIGTERM; who asked is in the log; a run that is over cannot be stopped."""
    _, run = await room.post("poll-payments", act="hold", run_key="k")
    await room.said("started")
    with caplog.at_level(logging.INFO, "worker.admin"):
        response, _ = await room.post(f"runs/{run['run_id']}/stop")
    assert (response.status, response.get_header("location")) == (202, "/admin/runs/poll-payments:k")
    child = room.children.find("poll-payments:k")
    assert child is not None
    await child.ended.wait()
    _, run = await room.get("/admin/runs/poll-payments:k")
    assert (run["status"], run["exit_code"]) == ("interrupted", 75)
    [line] = [vars(record) for record in caplog.records if record.message == "run stopped by request"]
    assert (line["token"], line["run_id"]) == ("qa", "poll-payments:k")
    response, problem = await room.post("runs/poll-payments:k/stop")
    assert (response.status, problem["detail"]) == (409, "poll-payments:k is not going on: it is interrupted")


async def test_acts_stop_of_a_run_elsewhere_names_its_place(room: Room) -> None:
    """A run that another server or a schedule has started is not ours to stop."""
    attempt = {"number": 1, "started_at": "2026-11-23T06:00:00Z", "task_arn": "arn:aws:ecs:task/1"}
    room.runs.put(job="poll-payments", run_key="k", status="running", attempts=[attempt])
    response, problem = await room.post("runs/poll-payments:k/stop")
    assert response.status == 409
    assert "goes on elsewhere, on arn:aws:ecs:task/1" in problem["detail"]


async def test_acts_resume_goes_on_with_key_and_scope(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """The same run is started again; its log can be led back to the request and to who asked."""
    room.runs.put(**INTERRUPTED, scope={"act": "hold", "ids": [1]})
    with caplog.at_level(logging.INFO, "worker.admin"):
        response, run = await room.post("runs/poll-payments:k/resume")
    assert (response.status, run["run_id"], run["status"]) == (202, "poll-payments:k", "pending")
    environment = (await room.said("started"))["environment"]
    assert (environment["RUN_KEY"], environment["JOB_IDS"]) == ("k", "[1]")
    assert (environment["TRIGGER"], environment["STARTED_BY"]) == ("admin", "admin:qa")
    assert environment["CORRELATION_ID"] == response.get_header("x-request-id")
    [line] = [vars(record) for record in caplog.records if record.message == "run resumed by request"]
    assert line["request_id"] == environment["CORRELATION_ID"]
    response, problem = await room.post("runs/poll-payments:k/resume")
    assert (response.status, problem["detail"]) == (409, "poll-payments:k is going on")


async def test_acts_resume_at_the_same_moment_goes_on_once(room: Room) -> None:
    """Who comes second is told that the run goes on."""
    room.runs.put(**INTERRUPTED, scope={"act": "hold"})
    answers = await asyncio.gather(*(room.post("runs/poll-payments:k/resume") for _ in range(2)))
    assert sorted(response.status for response, _ in answers) == [202, 409]


async def test_acts_resume_asks_for_the_secrets_again(room: Room) -> None:
    """A secret field is not kept: it must be said, and be what it was."""
    room.runs.put(**INTERRUPTED, scope={"secret": "***"}, whole_scope={"secret": "hush-hush"})
    response, problem = await room.post("runs/poll-payments:k/resume")
    assert response.status == 422
    assert "secret is a secret of the run's scope" in problem["errors"][0]["detail"]
    response, problem = await room.post("runs/poll-payments:k/resume", secret="other")
    assert (response.status, len(problem["errors"])) == (422, 1)
    assert "the values of secret are not the run's" in problem["errors"][0]["detail"]
    response, run = await room.post("runs/poll-payments:k/resume", secret="hush-hush", wait=True)
    assert (response.status, run["status"]) == (200, "succeeded")


async def test_acts_start_tells_scopes_apart_that_look_the_same(room: Room) -> None:
    """Two scopes that differ in a secret alone are two scopes."""
    room.runs.put(
        job="poll-payments", run_key="k", status="succeeded", scope={"secret": "***"}, whole_scope={"secret": "a"}
    )
    assert (await room.post("poll-payments", run_key="k", secret="a"))[0].status == 200
    assert (await room.post("poll-payments", run_key="k", secret="b"))[0].status == 409


@pytest.mark.parametrize(
    ("known", "act", "words"),
    [
        ({"status": "succeeded"}, "resume", "has succeeded: there is nothing to go on with"),
        ({"status": "running"}, "resume", "is going on"),
        ({"status": "running"}, "replay", "is going on"),
        ({"status": "succeeded", "dry_run": True}, "replay", "was a dry run"),
        ({"status": "succeeded", "tally": {"failed": 0}}, "replay", "has no dead letters: there is nothing to replay"),
    ],
)
async def test_acts_refuse_what_cannot_be(room: Room, known: dict[str, Any], act: str, words: str) -> None:
    """What stands in the way is said."""
    room.runs.put(job="poll-payments", run_key="k", **known)
    response, problem = await room.post(f"runs/poll-payments:k/{act}")
    assert (response.status, problem["detail"]) == (
        409,
        f"poll-payments:k {words}" if known["status"] != "succeeded" else problem["detail"],
    )
    assert words in problem["detail"]


def test_acts_refuse_to_take_up_a_shard_alone() -> None:
    """It is its run that is started: with all shards, and the dead letters of all."""
    shard = RunView(
        run_id="poll-payments:k/2",
        job="poll-payments",
        run_key="k",
        status="interrupted",
        tally={"failed": 1},
        created_at=datetime.now(UTC),
    )
    for take_up in (resumed, replayed):
        with pytest.raises(Problem, match=r"is a shard, .* take up poll-payments:k$"):
            take_up(PollPayments, shard, None, {})


async def test_acts_refuse_beside_another_run(room: Room) -> None:
    """A replay, too, waits until the run that has the lease is over."""
    room.runs.put(job="poll-payments", run_key="other", status="running")
    room.runs.put(**INTERRUPTED, tally={"failed": 2})
    for act in ("resume", "replay"):
        response, problem = await room.post(f"runs/poll-payments:k/{act}")
        assert (response.status, problem["run"]["run_id"]) == (409, "poll-payments:other")


async def test_acts_replay_is_the_command_line_s(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """The same process as `python -m worker replay`: over all letters, or over some; audited with what was chosen."""
    room.runs.put(**FAILED, scope={"act": "hold"})
    with caplog.at_level(logging.INFO, "worker.admin"):
        response, run = await room.post("runs/poll-payments:k/replay", error="Refused", key="-7", max_affected=3)
    assert (response.status, run["status"]) == (202, "pending")
    said = await room.said("started")
    assert said["arguments"] == ["replay", "--error=Refused", "--key=-7", "--max-affected=3", "--", "poll-payments:k"]
    [line] = [vars(record) for record in caplog.records if record.message == "dead letters replayed by request"]
    assert (line["token"], line["error"], line["key"]) == ("qa", "Refused", "-7")


async def test_acts_replay_that_could_not_start_leaves_the_run_as_it_was(room: Room) -> None:
    """Its faults are answered; the run keeps the status that it had."""
    room.runs.put(**FAILED, scope={"act": "refuse"})
    response, problem = await room.post("runs/poll-payments:k/replay", wait=True)
    assert (response.status, len(problem["errors"])) == (502, 2)
    assert (await room.get("/admin/runs/poll-payments:k"))[1]["status"] == "completed with failures"


async def test_acts_replay_that_could_not_start_is_not_what_the_same_start_is_told(room: Room) -> None:
    """Who sends the start of a run that is done again is told how the run went, whatever became of a replay."""
    room.runs.put(**{**FAILED, "status": "succeeded"}, scope={"act": "refuse"})
    assert (await room.post("runs/poll-payments:k/replay", wait=True))[0].status == 502
    for wait in (False, True):
        response, run = await room.post("poll-payments", run_key="k", act="refuse", wait=wait)
        assert (response.status, run["status"]) == (200, "succeeded")


async def test_acts_name_every_wrong_field(room: Room) -> None:
    """What a body may not say is named, all at once; a run that is not there is 404."""
    room.runs.put(**FAILED)
    response, problem = await room.post("runs/poll-payments:k/replay", eror="Refused", wait=-1)
    assert (response.status, len(problem["errors"])) == (422, 2)
    assert "did you mean 'error'" in problem["errors"][0]["detail"]
    for act in ("stop", "resume", "replay"):
        for run_id in ("poll-payments:none", "nonsense"):
            assert (await room.post(f"runs/{run_id}/{act}"))[0].status == 404
