"""`new` writes a job that runs, passes its test and the guards, and reads as if somebody had written it."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("worker", "jobs", "tests", "task-definitions", "pyproject.toml", "Makefile", "README.md")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the repository, as far as a job goes."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "soak*"))
        else:
            shutil.copy(ROOT / part, tmp_path)
    return tmp_path


async def ran(folder: Path, *command: str) -> tuple[int, str]:
    """Run a Python module in a folder; give the exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *command),
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LOG_FORMAT": "text"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


def files(folder: Path) -> dict[str, bytes]:
    """Give every file's content by its path."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


async def test_new_job_is_ready_to_run(copy: Path) -> None:
    """The commands that it names work at once; its test, the guards, formatter and linter pass."""
    before = files(copy)
    code, said = await ran(copy, "worker", "new", "remind-shops")
    assert code == 0, said
    made = {name for name, content in files(copy).items() if before.get(name) != content}
    assert made == {
        "jobs/remind_shops.py",
        "jobs/local/remind_shops.sql",
        "task-definitions/remind-shops.json",
        "tests/test_remind_shops.py",
    }
    assert made <= set(re.findall(r"^wrote (\S+)$", said, re.MULTILINE))
    assert "python -m worker remind-shops --local" in said
    assert not [name for name in made if re.search("crate", (copy / name).read_text(), re.IGNORECASE)]
    assert "async def process(self, shop: Record" in (copy / "jobs/remind_shops.py").read_text()
    guards = ("tests/test_remind_shops.py", "tests/test_job_files.py", "tests/test_task_definitions.py")
    for command in (
        (
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            *guards,
            "tests/test_jobs_local.py",
            "-k",
            "remind and not changes_nothing_in_a_dry_run",
        ),
        ("ruff", "check", "--no-cache", *(name for name in made if name.endswith(".py"))),
        ("ruff", "format", "--no-cache", "--check", *(name for name in made if name.endswith(".py"))),
    ):
        code, said = await ran(copy, *command)
        assert code == 0, said


@pytest.mark.soak
@pytest.mark.parametrize("name", ["remind-shops", "poll-runs", "send-it-to-all-of-the-boxes", "daily-report"])
async def test_new_job_is_typed(name: str, copy: Path) -> None:
    """Mypy --strict finds nothing, whatever the words."""
    assert (await ran(copy, "worker", "new", name))[0] == 0
    stem = name.replace("-", "_")
    code, said = await ran(copy, "mypy", f"jobs/{stem}.py", f"tests/test_{stem}.py")
    assert code == 0, said


@pytest.mark.parametrize(
    "name", ["Remind-Shops", "remind_shops", "remind", "remind--shops", "../x-y", "r-" + "s" * 29, "2-x"]
)
async def test_new_refuses_a_bad_name(name: str, copy: Path) -> None:
    """It says what a name looks like, and writes nothing."""
    before = files(copy)
    code, said = await ran(copy, "worker", "new", name)
    assert (code, "remind-customers" in said) == (2, True)
    assert files(copy) == before


async def test_new_overwrites_nothing(copy: Path) -> None:
    """A file that is there, even one of the four, keeps all of them from being written."""
    (copy / "tests" / "test_remind_shops.py").write_text("mine")
    before = files(copy)
    code, said = await ran(copy, "worker", "new", "remind-shops")
    assert (code, "tests/test_remind_shops.py is there already: nothing was written" in said) == (2, True)
    assert files(copy) == before
