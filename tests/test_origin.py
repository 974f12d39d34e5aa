"""worker/origin.py: where in a job's code an exception came from."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from attempts import ITEMS, Rename, parts_of
from fakes import Row, Rows, engine_over
from logged import Logged, logging_to
from stored import do

from worker.database import Link
from worker.errors import Permanent, Throttled
from worker.events import ErrorGroup, Reporter
from worker.mask import Mask
from worker.origin import is_bug, place, stack
from worker.report.log_reporter import LogReporter
from worker.retry import Retry
from worker.run import attempt
from worker.store.migrate import migrate

JOB = """import asyncio
from worker.limits import Limits

def owed(record):
    return record["mail"]

def deep(record):
    import json
    return json.loads("{")

def through_worker(record):
    return Limits(concurrency=0)
"""


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a job file of a folder that is nowhere near the worker."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "mark_overdue.py").write_text(JOB)
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("shop.mark_overdue")
    for name in ("shop", "shop.mark_overdue"):
        del sys.modules[name]


def raised(call: Any) -> BaseException:
    """Give what a call raises."""
    try:
        call({})
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("it raised nothing")


@pytest.mark.parametrize(("function", "line"), [("owed", 5), ("deep", 9), ("through_worker", 12)])
def test_origin_is_the_job_s_own_line(job: Any, function: str, line: int) -> None:
    """Neither the standard library's line nor the worker's own is shown, and no path of this machine."""
    assert place(raised(getattr(job, function))) == f"shop/mark_overdue.py:{line}"


def test_origin_of_what_no_job_has_touched_is_the_last_line() -> None:
    """Better the library's line than none."""
    error = raised(lambda _: json.loads("{"))
    assert error.__traceback__
    assert error.__traceback__.tb_next
    error.__traceback__ = error.__traceback__.tb_next.tb_next
    assert str(place(error)).startswith("json/decoder.py:")
    assert place(ValueError("never raised")) is None


@pytest.mark.parametrize(
    ("error", "bug"),
    [
        (KeyError("mail"), True),
        (SystemExit(1), True),
        (Permanent("no such payment"), False),
        (Throttled("later"), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
    ],
)
def test_origin_tells_bugs_from_what_jobs_say_on_purpose(error: BaseException, bug: bool) -> None:
    """The worker's errors and the network's are no news about the code."""
    assert is_bug(error) is bug


def test_origin_bounds_a_stack() -> None:
    """A message of any length leaves the stack's beginning and end."""

    def fail(_: Any) -> None:
        raise ValueError("x" * 100_000 + "the end")

    text = stack(raised(fail))
    assert len(text) < 8_100
    assert text.startswith("Traceback")
    assert text.endswith("the end\n")


@pytest.mark.looptime
async def test_origin_of_a_bug_is_with_the_record_and_its_stack_is_logged_once(job: Any) -> None:
    """Each dead letter says the line; the first of its group is logged with its stack, masked; no summary has one."""
    told: list[ErrorGroup] = []

    class Told(Reporter):
        def failed(self, group: ErrorGroup) -> None:
            told.append(group)
            LogReporter().failed(group)

    async def process(row: Row) -> Any:
        return job.owed(row)

    engine = engine_over(Rows(range(12)), process, reporter=Told(), retry=Retry(attempts=1))
    engine.ledger._mask = Mask(["most recent call"])
    with logging_to(Logged()) as logged:
        await engine.work()
    said = "'mail' (shop/mark_overdue.py:5)"
    assert engine.ledger.last_error == f"KeyError: {said}"
    first, tenth = logged.lines()
    assert first["event"] == f"1 × KeyError: {said} (e.g. 0)"
    assert first["exception"]["stack"].startswith("Traceback (*** last)")
    assert 'shop/mark_overdue.py", line 5, in owed' in first["exception"]["stack"]
    assert "exception" not in tenth
    assert [group.stack for group in engine.ledger.groups()] == [None]
    assert told[1].stack is None


@pytest.mark.looptime
async def test_origin_is_not_looked_for_where_a_job_says_what_failed() -> None:
    """A `Permanent` has its message and nothing else."""

    async def process(row: Row) -> Any:
        raise Permanent("no such payment", "missing")

    told: list[ErrorGroup] = []
    engine = engine_over(Rows(range(1)), process)
    engine.ledger._on_group = told.append
    await engine.work()
    assert [(group.message, group.stack) for group in told] == [("no such payment", None)]


class Clumsy(Rename):
    """Write in a way that the test chooses."""

    def __init__(self, way: str) -> None:
        self.way = way

    async def write(self, results: Any, connection: Any) -> Any:
        """Break."""
        if self.way == "column":
            await connection.execute("UPDATE item SET nam = 'new'")
        return results[0].record["mail"] if self.way == "key" else 7


@pytest.mark.parametrize(
    ("way", "said", "stacks"),
    [
        ("column", r'write raised UndefinedColumnError: column "nam" of relation "item" .*\(test_origin\.py:\d+\)', 1),
        ("key", r"KeyError: in write: 'mail' \(test_origin\.py:\d+\)", 1),
        ("value", r"TypeError: in write: it returned 7; it must return the rows that it wrote, once each, or None", 0),
    ],
)
async def test_origin_of_a_bug_in_write_is_told(database_url: str, way: str, said: str, stacks: int) -> None:
    """As in `process`: the line is with the run or its records, the stack is in the log once."""
    async with Link(database_url, "test") as link:
        await migrate(link)
        await do(link, ITEMS)
    with logging_to(Logged()) as logged:
        async with parts_of(database_url, Clumsy(way), reporter=LogReporter()) as parts:
            summary = await attempt(parts)
    told = [summary.detail, *(f"{group.type}: {group.message}" for group in summary.errors)]
    assert any(re.fullmatch(said, each, re.DOTALL) for each in told), told
    found = [line["exception"]["stack"] for line in logged.lines() if "exception" in line]
    assert ["in write" in stack for stack in found] == [True] * stacks
