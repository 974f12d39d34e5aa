"""What the API does not let in: no token, no such job, bodies that are wrong, too many at once."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from admin_room import JOBS, QA, FolderRuns, PollScope, Room, served

from worker import Job
from worker.admin import tokens
from worker.admin.children import Children
from worker.admin.routes import app
from worker.errors import DatabaseAway, Faults, Permanent
from worker.runs import RunView


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with served(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        ("", 'Bearer realm="admin"'),
        ("Bearer", 'Bearer realm="admin"'),
        (f"Basic {QA.token}", 'Bearer realm="admin"'),
        (QA.token, 'Bearer realm="admin"'),
        ("Bearer wrong", 'Bearer realm="admin", error="invalid_token"'),
        (f"Bearer {QA.entry.partition('=')[2]}", 'Bearer realm="admin", error="invalid_token"'),
    ],
    ids=["none", "empty", "basic", "bare", "wrong", "hash"],
)
async def test_refusals_without_a_token_tell_nothing(room: Room, header: str, challenge: str) -> None:
    """No path below /admin says anything but 401, and nothing starts."""
    for path in ("/admin/poll-payments", "/admin/no-job", "/admin/runs/poll-payments:k", "/admin/"):
        for method in ("GET", "POST"):
            request = room.client.request(method, path).headers({"Authorization": header})
            response = await request.build().send()
            assert (response.status, response.get_header("www-authenticate")) == (401, challenge)
    assert not room.children.live


async def test_refusals_let_the_right_token_in_whatever_the_case_of_the_scheme(room: Room) -> None:
    """`bearer` is as good as `Bearer`."""
    response = await room.client.get("/admin/runs/a:b").headers({"Authorization": f"bearer {QA.token}"}).build().send()
    assert response.status == 404


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        ("{", "application/json", 400, "not JSON"),
        ("[" * 60_000, "application/json", 400, "not JSON"),
        (b'{"region": "\xff"}', "application/json", 400, "not JSON"),
        ("[1]", "application/json", 400, "not a JSON object"),
        ("a=1", "application/x-www-form-urlencoded", 415, "send Content-Type: application/json"),
        (json.dumps({"region": "x" * 65_536}), "application/json", 413, "at most 65,536 bytes"),
        ('{"merchant_id": "x", "dryrun": true}', "application/json; charset=utf-8", 422, "cannot be started like this"),
    ],
)
async def test_refusals_of_a_body_are_problems(
    room: Room, body: str | bytes, kind: str, status: int, words: str
) -> None:
    """Each is problem+json with title, status and what to do."""
    sent = body.encode() if isinstance(body, str) else body
    request = room.client.post("/admin/poll-payments").headers({"Content-Type": kind}).body_bytes(sent)
    response = await request.build().send()
    problem = await response.json()
    assert (response.status, response.get_header("content-type")) == (status, "application/problem+json")
    assert problem["status"] == status
    assert words in problem["detail"]


async def test_refusals_name_every_wrong_field(room: Room) -> None:
    """A 422 lists all faults at once."""
    response, problem = await room.post("poll-payments", merchant_id="x", dryrun=True, wait=-1)
    assert response.status == 422
    errors = [error["detail"] for error in problem["errors"]]
    assert len(errors) == 3
    assert any("did you mean 'dry_run'" in error for error in errors)


async def test_refusals_of_what_is_not_there_say_what_is(room: Room) -> None:
    """Jobs, runs and paths that do not exist are 404; a method that does not is 405."""
    response, problem = await room.post("poll-payment")
    assert (response.status, problem["detail"]) == (404, "no job 'poll-payment'; did you mean 'poll-payments'?")
    assert (await room.get("/admin/runs/poll-payments:k"))[0].status == 404
    response, problem = await room.get("/admin/poll-payments")
    assert (response.status, response.get_header("allow"), problem["status"]) == (405, "POST", 405)
    response, problem = await room.get("/elsewhere")
    assert (response.status, problem["title"]) == (404, "Not Found")


async def test_refusals_and_answers_carry_security_headers(room: Room) -> None:
    """Nothing is cached, sniffed, framed or run."""
    for response, _ in (await room.post("poll-payments", wait=True), await room.get("/elsewhere")):
        assert response.get_header("cache-control") == "no-store"
        assert response.get_header("x-content-type-options") == "nosniff"
        assert response.get_header("x-frame-options") == "DENY"
        assert response.get_header("referrer-policy") == "no-referrer"
        assert (response.get_header("content-security-policy") or "").startswith("default-src 'none'")
        assert response.get_header("server") is None


async def test_refusals_beyond_the_start_rate_say_when_to_come_again(tmp_path: Path) -> None:
    """Starts are limited; the same run again is none."""
    async with served(tmp_path, starts_a_minute=2) as room:
        for key in ("a", "b", "b"):
            assert (await room.post("poll-payments", run_key=key, wait=True))[0].status == 200
        response, problem = await room.post("poll-payments", run_key="c")
        assert (response.status, response.get_header("retry-after")) == (429, "30")
        assert "2 starts a minute" in problem["detail"]


async def test_refusals_beyond_the_runs_that_fit_are_503(tmp_path: Path) -> None:
    """A server that has all the runs it may have refuses another job's."""
    async with served(tmp_path, most=1) as room:
        await room.post("poll-payments", act="hold")
        response, problem = await room.post("sync-customers")
        assert (response.status, response.get_header("retry-after")) == (503, "10")
        assert "1 runs are going on" in problem["detail"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DatabaseAway("gone"), 503),
        (Faults(["no such role, nor any other secret word"]), 503),
        (Permanent("AccessDenied: secret words"), 503),
        (RuntimeError("secret words"), 500),
    ],
)
async def test_refusals_when_the_store_fails_show_no_inside(
    room: Room, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    """A store that is away is 503, a bug is 500, and neither starts anything nor tells its words."""

    async def find(self: FolderRuns, run_id: str) -> RunView | None:
        raise error

    monkeypatch.setattr(FolderRuns, "find", find)
    response, problem = await room.post("poll-payments")
    assert (response.status, problem["status"]) == (status, status)
    assert str(error) not in str(problem)
    assert not room.children.live


def test_refusals_of_a_job_whose_scope_takes_a_reserved_name(tmp_path: Path) -> None:
    """A scope field named like an option is a fault of the job file, told before anything is served."""

    class Clash(PollScope):
        wait: int = 0

    class Waiting(Job[Clash]):
        name = "waiting"

    jobs: dict[str, type[Job[Any]]] = {**JOBS, "waiting": Waiting}
    with pytest.raises(Faults, match="job 'waiting': its scope has a field 'wait'"):
        app(jobs, FolderRuns(tmp_path), Children(), tokens.parse(QA.entry))
