"""The authorisation table: every endpoint × every right × no token, an unknown one, one that has expired, one for another job."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from admin_room import JOBS, Room, served
from starlette.routing import Route

from worker.admin import tokens
from worker.admin.acts import Acts
from worker.admin.looks import Looks
from worker.admin.routes import behind_the_gate
from worker.admin.starts import Starts

RUN = "/admin/runs/poll-payments:k"
ALL = {"read", "start", "stop", "replay"}
ENDPOINTS: Mapping[tuple[str, str], tuple[set[str], int]] = {
    # method and path: which rights open it, and the answer behind the door
    ("GET", "/admin/openapi.json"): (ALL, 200),
    ("GET", "/admin/jobs"): (ALL, 200),
    ("GET", "/admin/runs"): ({"read"}, 200),
    ("GET", RUN): (ALL, 200),
    ("GET", f"{RUN}/dead-letters"): (ALL, 200),
    ("POST", f"{RUN}/stop"): ({"stop"}, 409),
    ("POST", f"{RUN}/resume"): ({"start"}, 409),
    ("POST", f"{RUN}/replay"): ({"replay"}, 409),
    ("POST", "/admin/poll-payments"): ({"start"}, 409),
}
OF_NO_JOB = ("/admin/openapi.json", "/admin/jobs")
"""What a right for whichever job opens; of the jobs it shows its own."""
HOLDERS = {
    "read": ["read"],
    **{f"{action}-{word}": [f"{action}:{job}"] for action in ("start", "stop", "replay") for word, job in (
        ("ours", "poll-payments"), ("all", "*"), ("theirs", "sync-customers")
    )},
}  # fmt: skip
MADE = {name: tokens.make(name, may) for name, may in HOLDERS.items()}
EXPIRED = tokens.make("expired", ["read", "start:*", "stop:*", "replay:*"], days=0)
KNOWN = tokens.parse(",".join(made.entry for made in (*MADE.values(), EXPIRED)))


async def status(room: Room, method: str, path: str, token: str | None) -> tuple[int, str]:
    """Ask with a token: give the status, and what the caller is challenged with."""
    headers = {"Authorization": "" if token is None else f"Bearer {token}", "Content-Type": "application/json"}
    # The key is taken, with another scope: what is let in ends there, and starts nothing.
    request = (
        room.client.request(method, path)
        .headers(headers)
        .body_text('{"run_key": "k"}' if path.endswith("payments") else "")
    )
    response = await request.build().send()
    return response.status, response.get_header("www-authenticate") or ""


async def test_rights_open_what_they_name_and_nothing_else(tmp_path: Path) -> None:
    """Each endpoint with each right, for its job, for all jobs, for another job; then without a token, an unknown, an expired one."""
    async with served(tmp_path, known=KNOWN) as room:
        room.runs.put(job="poll-payments", run_key="k", status="succeeded", dry_run=True, scope={"merchant_id": 1})
        for (method, path), (rights, behind) in ENDPOINTS.items():
            for holder, made in MADE.items():
                action, _, whose = holder.partition("-")
                opens = action in rights and (whose != "theirs" or path in OF_NO_JOB)
                got, challenge = await status(room, method, path, made.token)
                assert got == (behind if opens else 403), (method, path, holder)
                assert opens or 'error="insufficient_scope"' in challenge
            for token, error in ((None, ""), ("admin_nobody", "invalid_token"), (EXPIRED.token, "invalid_token")):
                got, challenge = await status(room, method, path, token)
                assert (got, error in challenge) == (401, True), (method, path, error)
        assert not room.children.live


async def test_rights_of_a_reader_tell_a_name_that_is_none(tmp_path: Path) -> None:
    """Who sees all jobs is told of a slip of the pen; who does not learns nothing of what there is."""
    async with served(tmp_path, known=KNOWN) as room:
        for holder, expected in (("read", 404), ("start-ours", 403)):
            assert (await status(room, "POST", "/admin/poll-payment", MADE[holder].token))[0] == expected


async def test_rights_for_a_job_show_that_job_alone(tmp_path: Path) -> None:
    """Its entry among the jobs, and its runs; a right for a job that is not here shows nothing."""
    gone = tokens.make("gone", ["start:gone"])
    known = tokens.parse(f"{MADE['start-theirs'].entry},{gone.entry}")
    async with served(tmp_path, known=known) as room:
        theirs, nobody = ({"Authorization": f"Bearer {made.token}"} for made in (MADE["start-theirs"], gone))

        async def asked(path: str, headers: dict[str, str]) -> tuple[int, Any]:
            response = await room.client.get(path).headers(headers).build().send()
            return response.status, await response.json()

        _, told = await asked("/admin/jobs", theirs)
        assert [job["name"] for job in told["jobs"]] == ["sync-customers"]
        assert (await asked("/admin/runs?job=sync-customers", theirs))[0] == 200
        assert (await asked("/admin/runs?job=poll-payments", theirs))[0] == 403
        status, problem = await asked("/admin/jobs", nobody)
        assert (status, "lacks the right read" in problem["detail"]) == (403, True)


async def test_rights_table_has_every_path_that_is_routed_and_documented(tmp_path: Path) -> None:
    """A new endpoint without a row above, or without its place in the document, is found."""
    async with served(tmp_path) as room:
        _, document = await room.get("/admin/openapi.json")
        starts = Starts(room.runs, room.children, 1)
        looks = Looks(JOBS, room.runs, starts, room.children, lambda summary: [], None)
        routed = behind_the_gate(looks, Acts(JOBS, starts, room.children, looks)).routes
    table = {(method, path.replace(RUN, "/admin/runs/{run_id}")) for method, path in ENDPOINTS}
    documented = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert {each for each in documented if each[1].startswith("/admin")} - {("POST", "/admin/sync-customers")} == table
    assert all(isinstance(route, Route) for route in routed)
    assert {
        (method, "/admin" + route.path.replace("{run_id:path}", "{run_id}").replace("{job}", "poll-payments"))
        for route in routed
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    } == table


async def test_rights_that_are_missing_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The answer and the log say which right it would take, and whose token it was."""
    async with served(tmp_path, known=KNOWN) as room:
        headers = {"Authorization": f"Bearer {MADE['start-theirs'].token}"}
        response = await room.client.post("/admin/poll-payments").headers(headers).body_json({}).build().send()
        problem = await response.json()
    assert (
        problem["detail"]
        == "token 'start-theirs' may not: it lacks the right start:poll-payments; it has start:sync-customers"
    )
    assert [vars(line)["reason"] for line in caplog.records if line.message == "request refused"] == [problem["detail"]]


def test_rights_end_on_their_day() -> None:
    """An expired token's day is today, by UTC, or before."""
    assert EXPIRED.entry.endswith(f"expires={datetime.now(UTC).date()}")
    assert MADE["read"].entry.endswith(f"expires={datetime.now(UTC).date() + timedelta(days=90)}")
