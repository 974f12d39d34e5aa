"""The authorisation table: every endpoint × every right × no token, an unknown one, one that has expired, one for another job."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from admin_room import Room, served

from worker.admin import tokens

RUN = "/admin/runs/poll-payments:k"
ALL = {"read", "start", "stop", "replay"}
ENDPOINTS: Mapping[tuple[str, str], tuple[set[str], int]] = {
    # method and path: which rights open it, and the answer behind the door
    ("GET", "/admin/openapi.json"): (ALL, 200),
    ("GET", "/admin/jobs"): ({"read"}, 200),
    ("GET", "/admin/runs"): ({"read"}, 200),
    ("GET", RUN): (ALL, 200),
    ("GET", f"{RUN}/dead-letters"): ({"read"}, 200),
    ("POST", f"{RUN}/stop"): ({"stop"}, 409),
    ("POST", f"{RUN}/resume"): ({"start"}, 409),
    ("POST", f"{RUN}/replay"): ({"replay"}, 409),
    ("POST", "/admin/poll-payments"): ({"start"}, 409),
}
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
                opens = action in rights and (whose != "theirs" or path == "/admin/openapi.json")
                got, challenge = await status(room, method, path, made.token)
                assert got == (behind if opens else 403), (method, path, holder)
                assert opens or 'error="insufficient_scope"' in challenge
            for token, error in ((None, ""), ("admin_nobody", "invalid_token"), (EXPIRED.token, "invalid_token")):
                got, challenge = await status(room, method, path, token)
                assert (got, error in challenge) == (401, True), (method, path, error)
        assert not room.children.live


async def test_rights_table_has_every_path_of_the_document(tmp_path: Path) -> None:
    """What is served is in the table above."""
    async with served(tmp_path) as room:
        _, document = await room.get("/admin/openapi.json")
    table = {(method, path.replace(RUN, "/admin/runs/{run_id}")) for method, path in ENDPOINTS}
    served_here = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    }
    behind_tokens = {(method, path) for method, path in served_here if path.startswith("/admin")}
    assert behind_tokens - {("POST", "/admin/sync-customers")} == table


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
