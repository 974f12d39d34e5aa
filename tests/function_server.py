"""AWS Lambda for tests: it calls the functions' own handlers, each call in a process of its own (tests/function_child.py)."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from definitions import ROOT


class Raised(Exception):
    """What a function has raised: Lambda would try it again, and keep the event at last."""


class Functions:
    """The functions, by their names: launcher, reporter."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def invoke(
        self, function: str, event: Mapping[str, Any], environment: Mapping[str, str], per_task: Mapping[str, int]
    ) -> dict[str, Any]:
        """Call one with nothing in its environment but this. Raises Raised."""
        asked = {"function": function, "environment": environment, "per_task": per_task, "event": event}
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(json.dumps(asked).encode() + b"\n")
        said = json.loads(await reader.read())
        writer.close()
        if "answer" not in said:
            raise Raised(said)
        answer: dict[str, Any] = said["answer"]
        return answer


@contextmanager
def functions(output: Path) -> Iterator[Functions]:
    """Run them; what they log goes into that folder."""
    with (
        (output / "functions").open("w") as errors,
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("function_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as child,
    ):
        assert child.stdout is not None
        yield Functions(int(child.stdout.readline()))
        child.kill()
