"""Packages of npm that tests use: installed the first time, into a folder of this checkout; without npm the tests are skipped."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent
_INSTALL_S = 180


def installed(name: str, version: str) -> Path:
    """Give the folder in which a package is, installed by npm the first time; skip the test where that cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"{name} is installed by npm, and takes Node 20 or newer: there is no node, or no npm")
    folder = _ROOT / f".{name}"
    folder.mkdir(exist_ok=True)
    with (folder / f"{version}.installed").open("a+") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)  # two test runs may come here at once
        if not marker.tell():
            _install(folder, f"{name}@{version}")
            marker.write("yes")
    return folder


def _install(folder: Path, package: str) -> None:
    npm = ["npm", "install", "--prefix", str(folder), "--no-save", "--no-audit", "--no-fund", package]
    done = subprocess.run(npm, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install {package} (offline?): {done.stderr[-300:]}")
