"""Child processes: what they are given, what is heard of them, how they are stopped."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from admin_room import CHILD, ask

from worker.admin.children import Children
from worker.admin.ports import Full
from worker.mask import Mask

ENVIRON = {"PATH": "/bin", "JOB_MERCHANT_ID": "7", "RUN_KEY": "ours", "ADMIN_TOKEN_HASHES": "qa=0", "JOB_TEAM": "x"}


class Nursery:
    """Children, and the lines they said."""

    def __init__(self, folder: Path, argv: tuple[str, ...] | None = None) -> None:
        self.lines: asyncio.Queue[bytes] = asyncio.Queue()
        self.children = Children(
            argv or (sys.executable, str(CHILD), str(folder)),
            most=2,
            mask=Mask(["s3cret-of-ours"]),
            environ=ENVIRON,
            say=self.lines.put_nowait,
        )

    async def started(self) -> dict[str, Any]:
        """Wait until a child says that it started."""
        while True:
            line: dict[str, Any] = json.loads(await self.lines.get())
            if line["event"] == "started":
                return line


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    made = Nursery(tmp_path)
    yield made
    await made.children.close(5)


async def test_children_get_scope_and_key_by_the_environment_alone(nursery: Nursery) -> None:
    """The scope is the caller's and not what serve's own variables say, and nothing of it stands in `ps`."""
    asked = ask(
        act="hold",
        secret="hush-hush",
        ids=[1, 2],
        region=None,
        dry_run=True,
        max_records=9,
        run_key="k~dry-20261123T060245Z-7f3a",
    )
    nursery.children.start(asked)
    line = await nursery.started()
    environment = line["environment"]
    assert environment["RUN_KEY"] == "k~dry-20261123T060245Z-7f3a"
    assert environment["JOB_IDS"] == "[1,2]"
    assert environment["JOB_REGION"] == ""
    assert environment["JOB_SECRET"] == "hush-hush"
    assert environment["JOB_TEAM"] == "x", "not a scope field: none of our business"
    assert not {"JOB_MERCHANT_ID", "ADMIN_TOKEN_HASHES"} & set(environment)
    assert line["arguments"] == ["poll-payments", "--dry-run", "--max-records=9"]


async def test_children_are_bounded_and_each_is_reaped(nursery: Nursery) -> None:
    """A third beside two is refused; what ended makes room and leaves no zombie."""
    for key in ("a", "b"):
        nursery.children.start(ask(act="hold", run_key=key))
    with pytest.raises(Full, match="2 runs are going on"):
        nursery.children.start(ask(run_key="c"))
    pids = [(await nursery.started())["pid"] for _ in range(2)]
    for child in list(nursery.children.live):
        child.stop()
        await child.ended.wait()
        assert (child.view.status, child.view.exit_code) == ("interrupted", 75)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    nursery.children.start(ask(run_key="c"))


async def test_children_asked_to_stop_before_they_began_still_stop(nursery: Nursery) -> None:
    """A stop between the start and the process is not lost."""
    child = nursery.children.start(ask(act="hold", run_key="a"))
    child.stop()
    async with asyncio.timeout(30):
        await child.ended.wait()
    assert child.view.exit_code in (-15, 75), "where the machine is busy it has begun before it hears of it"


async def test_children_that_cannot_start_are_quoted(nursery: Nursery) -> None:
    """The faults of an exit 2 are kept as they were said."""
    child = nursery.children.start(ask(act="refuse"))
    await child.ended.wait()
    assert (child.view.status, child.view.exit_code) == ("could not start", 2)
    assert child.view.faults == ("STRIPE_API_KEY is not set", "the schema is not migrated")


async def test_children_without_a_program_could_not_start(tmp_path: Path) -> None:
    """A command that is not there is a fault of the start, not of the server."""
    child = Nursery(tmp_path, (str(tmp_path / "absent"),)).children.start(ask())
    await child.ended.wait()
    assert child.view.status == "could not start"
    assert "No such file" in child.view.faults[0]


async def test_children_that_crash_leave_their_last_lines_without_secrets(nursery: Nursery) -> None:
    """A traceback is kept for who asks, secrets of the scope and of the server masked."""
    child = nursery.children.start(ask(act="crash", secret="hush-hush"))
    await child.ended.wait()
    assert (child.view.status, child.view.exit_code) == ("crashed", 1)
    assert "RuntimeError: broken with ***" in child.view.detail
    assert "hush-hush" not in repr(child.view)


async def test_children_lines_pass_through_or_become_log_lines(
    nursery: Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """JSON lines pass as they are; a plain one is logged, masked; an endless one is dropped and said to be."""
    with caplog.at_level(logging.INFO, "worker.admin"):
        child = nursery.children.start(ask(act="chatter", secret="hush-hush", run_key="k"))
        await child.ended.wait()
    assert (await nursery.started())["environment"]["LOG_FORMAT"] == "json"
    fields = {record.message: vars(record) for record in caplog.records}
    assert fields["log line left out"]["run_id"] == "poll-payments:k"
    assert "a plain line with *** and ***" in [vars(record).get("line") for record in caplog.records]


async def test_children_close_kills_what_ignores_the_stop(nursery: Nursery, caplog: pytest.LogCaptureFixture) -> None:
    """After the stop timeout comes SIGKILL, and it is said; afterwards nothing can be started."""
    child = nursery.children.start(ask(act="stubborn", run_key="k"))
    await nursery.started()
    await nursery.children.close(0.01)
    assert child.view.exit_code == -9
    assert "ended by SIGKILL" in child.view.detail
    assert [record.message for record in caplog.records] == ["run killed"]
    with pytest.raises(Full, match="being stopped"):
        nursery.children.start(ask())
