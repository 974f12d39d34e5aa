"""`make image`: the first engine that works, not the first that is there."""

import os
import subprocess
from pathlib import Path

import pytest
from definitions import ROOT

ENGINES = ("docker", "podman", "buildah")


def make(folder: Path, working: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make where all three engines are there, and these work."""
    for name in ENGINES:
        (folder / name).write_text(f"#!/bin/sh\nexit {0 if name in working else 1}\n")
        (folder / name).chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    command = ["make", "--no-print-directory", "image", "IMAGE=worker:1", *arguments]
    kept = {name: value for name, value in os.environ.items() if name not in ("ENGINE", "MAKEFLAGS")}
    return subprocess.run(command, cwd=ROOT, env=kept | {"PATH": path}, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("working", "arguments", "taken"),
    [
        (set(ENGINES), (), "docker"),
        ({"podman", "buildah"}, (), "podman"),
        ({"buildah"}, (), "buildah"),
        (set(ENGINES), ("ENGINE=buildah",), "buildah"),
    ],
)
def test_make_image_takes_an_engine_that_works(
    tmp_path: Path, working: set[str], arguments: tuple[str, ...], taken: str
) -> None:
    """A docker client whose engine does not answer is passed over; ENGINE decides where it is given."""
    ended = make(tmp_path, working, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert f"{taken} build --tag worker:1 " in ended.stdout


def test_make_image_says_that_there_is_no_engine(tmp_path: Path) -> None:
    """With what to do."""
    ended = make(tmp_path, set())
    assert ended.returncode != 0
    assert "no docker, podman or buildah that works: install one" in ended.stderr
