"""What load balancers and proxies meet: health, readiness, request limits, the names of requests."""

import logging
from pathlib import Path

import pytest
from admin_room import FolderRuns, served

from worker.cli.arguments import command_parser
from worker.errors import DatabaseAway


async def test_health_is_told_without_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alive while it answers; ready while the run store can be asked and it is not being stopped."""
    async with served(tmp_path) as room:
        for path, word in (("/healthz", "alive"), ("/readyz", "ready")):
            request = room.client.get(path).headers({"Authorization": ""})
            response = await request.build().send()
            assert (response.status, await response.json()) == (200, {"status": word})

        async def away(self: FolderRuns, run_id: str) -> str | None:
            raise DatabaseAway("gone")

        monkeypatch.setattr(FolderRuns, "scope_hash", away)
        assert (await room.get("/readyz"))[0].status == 503
        assert (await room.get("/healthz"))[0].status == 200
        monkeypatch.undo()
        room.children.closing.set()
        response, problem = await room.get("/readyz")
        assert (response.status, problem["detail"]) == (503, "this server is being stopped")


async def test_health_requests_are_bounded_for_each_token(tmp_path: Path) -> None:
    """More than so many at once are told to come again."""
    async with served(tmp_path, requests_a_second=3) as room:
        answers = [await room.get("/admin/runs") for _ in range(5)]
    assert {response.status for response, _ in answers} == {200, 429}
    response, problem = answers[-1]
    assert (response.status, response.get_header("retry-after")) == (429, "1")
    assert "3 requests a second" in problem["detail"]


@pytest.mark.parametrize(
    ("given", "kept"), [("trace-4711", True), ("short", False), ("a b c d e f", False), ("x" * 65, False)]
)
async def test_health_requests_have_a_name(tmp_path: Path, given: str, kept: bool) -> None:
    """The caller's where it is sane, else one made here; refusals have one, too."""
    async with served(tmp_path) as room:
        for path in ("/admin/runs", "/elsewhere", "/healthz"):
            response = await room.client.get(path).headers({"X-Request-Id": given}).build().send()
            name = response.get_header("x-request-id")
            assert name is not None
            assert (name == given) is kept


async def test_health_of_a_server_that_fails_is_in_its_log_by_the_request_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer tells nothing but its name, by which the log has the rest."""

    async def broken(self: FolderRuns, run_id: str) -> str | None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(FolderRuns, "scope_hash", broken)
    async with served(tmp_path) as room:
        response, problem = await room.get("/readyz")
    assert (response.status, "secret" in str(problem)) == (500, False)
    [line] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.exc_info is not None
    assert vars(line)["request_id"] == response.get_header("x-request-id")


@pytest.mark.parametrize(
    ("trusted", "client"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.7"), (("10.0.0.0/8",), "127.0.0.1")]
)
async def test_health_proxies_are_believed_only_where_they_are_trusted(
    tmp_path: Path, trusted: tuple[str, ...], client: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who the client was is what a trusted proxy says, and nobody else."""
    async with served(tmp_path, trusted_proxies=trusted) as room:
        headers = {"Authorization": "", "X-Forwarded-For": "203.0.113.7"}
        response = await room.client.get("/admin/runs").headers(headers).build().send()
    assert response.status == 401
    assert [vars(line)["client"] for line in caplog.records if line.message == "request refused"] == [client]


def test_health_proxies_are_networks(capsys: pytest.CaptureFixture[str]) -> None:
    """What is no network is refused before anything is served."""
    assert command_parser("serve").parse_args(["--trust-proxy", "10.0.0.0/8"]).trust_proxy == ["10.0.0.0/8"]
    with pytest.raises(SystemExit):
        command_parser("serve").parse_args(["--trust-proxy", "everybody"])
    assert "no network such as 10.0.0.0/8" in capsys.readouterr().err
