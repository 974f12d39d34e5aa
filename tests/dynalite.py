"""dynalite: a DynamoDB on this machine that, unlike moto, ends with an empty page as the real one does. Node runs it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from npm import installed

_VERSION = "4.0.0"
_SERVE = """
    const server = require("dynalite")({createTableMs: 0})
    server.listen(0, "127.0.0.1", () => console.log(server.address().port))
    process.stdin.resume().on("end", () => process.exit())"""
"""Its own command takes no port 0; like this it ends with whoever started it."""


@contextmanager
def dynalite() -> Iterator[str]:
    """Start it on a free port, give its URL, and end it afterwards."""
    with subprocess.Popen(
        ["node", "--eval", _SERVE],
        cwd=installed("dynalite", _VERSION),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.kill()
