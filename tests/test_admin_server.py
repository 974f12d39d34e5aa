"""The server's life: its address, and an end that takes the runs along."""

import asyncio
from pathlib import Path

import pytest
from admin_room import served

from worker.admin.server import listen
from worker.errors import Faults


async def test_server_stops_its_runs_and_answers_who_waits(tmp_path: Path) -> None:
    """A stop reaches the runs at once; who waits for one gets its end, and then the server is gone."""
    async with served(tmp_path) as room:
        waiting = asyncio.create_task(room.post("poll-payments", act="hold", run_key="k", wait=True))
        await room.said("started")
        room.stop.ask("SIGTERM")
        response, run = await waiting
        assert (response.status, run["status"], run["exit_code"]) == (200, "interrupted", 75)
    assert not room.children.live


async def test_server_stop_does_not_wait_for_runs_of_others(tmp_path: Path) -> None:
    """Who waits for a run elsewhere is answered with the run as it is."""
    async with served(tmp_path) as room:
        room.runs.put(job="poll-payments", run_key="k", status="running")
        waiting = asyncio.create_task(room.post("poll-payments", run_key="k", wait=True))
        await room.get("/admin/runs/poll-payments:k")
        room.stop.ask("SIGTERM")
        response, run = await waiting
        assert (response.status, run["status"]) == (200, "running")


def test_server_address_that_is_taken_is_a_fault() -> None:
    """The fault names host and port, and what to do."""
    with listen("127.0.0.1", 0) as taken, pytest.raises(Faults, match="cannot listen on") as caught:
        listen("127.0.0.1", taken.getsockname()[1])
    assert "127.0.0.1 port" in str(caught.value)
    assert "--port" in str(caught.value)


def test_server_listens_on_this_machine_alone() -> None:
    """Without being told, nobody outside is served."""
    with listen(port=0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"
