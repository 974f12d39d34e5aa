"""What somebody sends who means harm: the server answers in words, keeps little of it in memory, and goes on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from admin_room import JOBS, QA, PollScope, Room, served

from worker import Job
from worker.admin import asked


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with served(tmp_path) as made:
        yield made


async def sent(room: Room, *parts: bytes) -> tuple[int, bytes]:
    """Send bytes as they are, on a connection of their own; give the status and all that came back. 0: closed without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        answer = await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return 0, b""
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


def request(path: str, *headers: str, method: str = "GET") -> bytes:
    """Write the head of a request, its path unchanged."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]).encode(
        "latin-1"
    )


BEARER = f"Authorization: Bearer {QA.token}"


@pytest.mark.parametrize(
    "path",
    [
        "/console/../routes.py",
        "/console/../../../../../../etc/passwd",
        "/console/%2e%2e/routes.py",
        "/console/..%2froutes.py",
        "/console/..%5croutes.py",
        "/console//etc/passwd",
        "/console/%00",
        "/console/main.js%00.css",
        "/console/" + "a/" * 2_000,
    ],
)
async def test_hostile_paths_reach_no_file_but_the_console_s(room: Room, path: str) -> None:
    """Up, absolute, encoded, with a zero or very long: it is not there."""
    status, answer = await sent(room, request(path))
    assert status == 404
    assert b"root:" not in answer
    assert b"import" not in answer


@pytest.mark.parametrize(
    "path",
    ["/console", "//evil.example/console", "/console//evil.example/..", "/console/%2f%2fevil.example/", "/console/.."],
)
async def test_hostile_addresses_are_no_redirect_to_elsewhere(room: Room, path: str) -> None:
    """The one redirect there is goes to the console, wherever it is mounted."""
    _, answer = await sent(room, request(path))
    places = [line for line in answer.decode().splitlines() if line.lower().startswith("location:")]
    assert places in ([], ["location: console/"])
    assert "evil" not in "".join(places)


@pytest.mark.parametrize("path", ["/", "/console"])
async def test_hostile_addresses_aside_the_bare_one_leads_to_the_console(room: Room, path: str) -> None:
    """Whoever types host and port alone finds it."""
    status, answer = await sent(room, request(path))
    assert (status, b"location: console/\r\n" in answer) == (307, True)


@pytest.mark.parametrize("name", ["token", "access_token", "authorization"])
async def test_hostile_tokens_are_taken_from_the_header_alone(room: Room, name: str) -> None:
    """Not from the address, which logs and histories keep, and not from a cookie, which another site's page would send along."""
    assert (await sent(room, request(f"/admin/jobs?{name}={QA.token}")))[0] == 401
    assert (await sent(room, request("/admin/jobs", f"Cookie: {name}={QA.token}")))[0] == 401


async def test_hostile_heads_are_bounded(room: Room) -> None:
    """A header without an end is cut off, long before it is large; the server goes on."""
    for head in (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ", b"GET /" + b"a" * 1_000):
        status, _ = await sent(room, head, *[b"a" * 65_536] * 64)
        assert status in (0, 400)
    status, _ = await sent(room, request("/healthz", *(f"X-{n}: y" for n in range(20_000))))
    assert status in (0, 400)
    assert (await room.get("/healthz"))[0].status == 200


async def test_hostile_bodies_are_cut_off_where_they_are_too_large(room: Room) -> None:
    """Whatever their length says, or does not say."""
    head = (BEARER, "Content-Type: application/json")
    for length, body in (
        ("Content-Length: 10000000000", b"{" * 200_000),
        ("Transfer-Encoding: chunked", b"ffff\r\n" + b"{" * 65_535 + b"\r\n" + b"ffff\r\n" + b"{" * 65_535 + b"\r\n"),
    ):
        status, _ = await sent(room, request("/admin/poll-payments", *head, length, method="POST"), body)
        assert status in (0, 413)
    assert not room.children.live


async def test_hostile_slowness_is_answered_when_its_time_is_over(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that never comes keeps nobody's place for long."""
    monkeypatch.setattr(asked, "_SLOWEST_S", 0.05)
    head = request("/admin/poll-payments", BEARER, "Content-Type: application/json", "Content-Length: 9", method="POST")
    status, answer = await sent(room, head, b"{")
    assert status == 408
    assert b"the body was not here within" in answer


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_hostile_pages_of_others_cannot_start_anything(room: Room, kind: str) -> None:
    """What a form may send across sites is refused by its type, and would lack the token."""
    body = b'{"merchant_id": 1}'
    head = (f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Origin: https://evil.example")
    assert (await sent(room, request("/admin/poll-payments", *head, method="POST"), body))[0] == 401
    assert (await sent(room, request("/admin/poll-payments", BEARER, *head, method="POST"), body))[0] == 415
    _, answer = await sent(
        room, request("/admin/poll-payments", *head, "Access-Control-Request-Method: POST", method="OPTIONS")
    )
    assert b"access-control" not in answer.lower()
    assert not room.children.live


@pytest.mark.parametrize(
    "run_id",
    [
        "poll-payments:k%2Fstop",
        "poll-payments:k%2F..%2F..%2Fjobs",
        "poll-payments:%0d%0aX: y",
        "..%2F..%2Fjobs",
        "poll-payments:%F0%9F%A6%84",
        "%",
    ],
)
async def test_hostile_run_ids_name_no_run(room: Room, run_id: str) -> None:
    """Slashes, dots, line ends and what is not ASCII: no such run, whatever is asked of it."""
    for method, action in (
        ("GET", ""),
        ("GET", "/dead-letters"),
        ("POST", "/stop"),
        ("POST", "/resume"),
        ("POST", "/replay"),
    ):
        status, answer = await sent(room, request(f"/admin/runs/{run_id}{action}", BEARER, method=method))
        assert status in (400, 404, 405), (method, action)
        assert b"\r\nX: y" not in answer


async def test_hostile_names_of_jobs_hide_no_path(tmp_path: Path) -> None:
    """A job named like a path is started by POST, and the path is read by GET as before."""

    class Runs(Job[PollScope]):
        name = "runs"

    class Jobs(Job[PollScope]):
        name = "jobs"

    jobs: dict[str, type[Job[Any]]] = {**JOBS, "runs": Runs, "jobs": Jobs}
    async with served(tmp_path, jobs=jobs) as room:
        for name in ("runs", "jobs"):
            response, run = await room.post(name, run_key="k", wait=True)
            assert (response.status, run["run_id"]) == (200, f"{name}:k")
            assert name in (await room.get(f"/admin/{name}"))[1]
        assert (await room.get("/admin/runs/runs:k"))[0].status == 200


async def test_hostile_starts_at_once_with_one_key_are_one_run(room: Room) -> None:
    """By the header and by the body."""
    head = (BEARER, "Content-Type: application/json", "Idempotency-Key: k", "Content-Length: 14")
    by_header = request("/admin/poll-payments", *head, method="POST")
    answers = await asyncio.gather(*(sent(room, by_header, b'{"act":"hold"}') for _ in range(5)))
    others = await asyncio.gather(*(room.post("poll-payments", run_key="k", act="hold") for _ in range(5)))
    assert sorted(status for status, _ in answers) == [200] * 4 + [202]
    assert [response.status for response, _ in others] == [200] * 5
    assert len(room.children.live) == 1
