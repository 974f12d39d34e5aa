"""The code of the Lambda functions: complete, small enough, the same from the same input."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from definitions import ROOT
from test_shared_stack import FUNCTIONS

from worker.aws.function_package import LARGEST, build, main, pack, size

ARCHITECTURE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it for this machine and this Python, as `make functions` does for Lambda."""
    folder = tmp_path_factory.mktemp("build") / "functions"
    build(folder, ARCHITECTURE, sys.executable, ROOT)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="its wheels are Linux's")
def test_function_package_has_all_that_its_handlers_import(package: Path) -> None:
    """With nothing but the package on the path every handler, the run stores and every job can be imported."""
    modules = [".".join(function["Handler"].split(".")[:-1]) for function in FUNCTIONS.values()]
    modules += ["worker.store.postgres", "worker.store.dynamodb", "worker.boto", "worker.clients.http"]
    modules += [f"jobs.{file.stem}" for file in (ROOT / "jobs").glob("[a-z]*.py")]
    alone = [
        sys.executable,
        "-I",
        "-S",
        "-B",
        "-c",
        f"import sys; sys.path.append({str(package)!r}); import {', '.join(modules)}",
    ]
    assert subprocess.run(alone, capture_output=True, text=True, check=False).stderr == ""


def test_function_package_fits_lambda(package: Path) -> None:
    """Unzipped it is below the quota, and nothing in it is for development or names this machine."""
    assert size(package) < LARGEST
    assert not [
        name for name in ("bin", "pytest", "moto", "ruff", "worker/local", "worker/admin") if (package / name).exists()
    ]
    compiled = next((package / "worker" / "__pycache__").glob("job.*.pyc")).read_bytes()
    assert b"/var/task/worker/job.py" in compiled
    assert str(package).encode() not in compiled


def test_function_package_name_tells_its_content(tmp_path: Path) -> None:
    """The same files give the same name, whenever they were written; another byte gives another name."""
    folder = tmp_path / "functions"
    (folder / "worker").mkdir(parents=True)
    file = folder / "worker" / "a.py"
    file.write_text("A = 1\n")
    first = pack(folder)
    content = first.read_bytes()
    os.utime(file, (1, 1))
    file.chmod(0o600)
    assert pack(folder) == first
    assert first.read_bytes() == content
    file.write_text("A = 2\n")
    assert pack(folder) != first


@pytest.mark.parametrize(
    ("program", "said"), [("no-such-python", "does not run: No such file"), (sys.executable, "is Python 3.")]
)
def test_function_package_wants_the_python_that_runs_it(
    program: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Byte code of another version is read by nobody: the right one must be there."""
    if program == sys.executable:
        monkeypatch.setattr("worker.aws.function_package.version", lambda _: "3.11")
    assert main(["--python", program, "--into", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "the functions run on 3.13: name such a Python with --python, with make by FUNCTIONS_PYTHON=" in told
    assert list(tmp_path.iterdir()) == []
