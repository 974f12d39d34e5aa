"""dynalite: a DynamoDB on this machine that, unlike moto, ends with an empty page as the real one does. Node runs it."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_VERSION = "4.0.0"
_FOLDER = Path(__file__).parent.parent / ".dynalite"
_INSTALL_S = 180
_SERVE = """
    const server = require("dynalite")({createTableMs: 0})
    server.listen(0, "127.0.0.1", () => console.log(server.address().port))
    process.stdin.resume().on("end", () => process.exit())"""
"""Its own command takes no port 0; like this it ends with whoever started it."""


def installed() -> Path:
    """Give the folder in which it is, installed by npm the first time; skip the test where that cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("dynalite runs on Node 20 or newer and is installed by npm: there is no node, or no npm")
    _FOLDER.mkdir(exist_ok=True)
    with (_FOLDER / f"{_VERSION}.installed").open("a+") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)  # two test runs may come here at once
        if not marker.tell():
            _install()
            marker.write("yes")
    return _FOLDER


def _install() -> None:
    npm = ["npm", "install", "--prefix", str(_FOLDER), "--no-save", "--no-audit", "--no-fund", f"dynalite@{_VERSION}"]
    done = subprocess.run(npm, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    if done.returncode:
        pytest.skip(f"npm could not install dynalite (offline?): {done.stderr[-300:]}")


@contextmanager
def dynalite() -> Iterator[str]:
    """Start it on a free port, give its URL, and end it afterwards."""
    with subprocess.Popen(
        ["node", "--eval", _SERVE], cwd=installed(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.kill()
