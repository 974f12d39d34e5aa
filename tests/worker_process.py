"""The worker as its users run it: a real process, its log lines read as they come, real signals, its exit code."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

LineTest = Callable[[dict[str, Any]], bool]


class Worker:
    """One `python -m worker …`; `lines` are the log lines so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[dict[str, Any]] = []

    @classmethod
    async def start(cls, *arguments: str, **environment: str) -> Self:
        """Start it with nothing in the environment but what is given and what Python needs."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", *arguments),
            env={"PATH": os.environ["PATH"], **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        return cls(process)

    async def line(self, wanted: LineTest) -> dict[str, Any]:
        """Read on until such a line comes."""
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            self.lines.append(json.loads(raw))
            if wanted(self.lines[-1]):
                return self.lines[-1]
        raise AssertionError(f"no such line in {self.lines} {await self.errors()}")

    async def started(self) -> dict[str, Any]:
        """Read on until the attempt has begun."""
        return await self.line(lambda line: "started" in line["event"])

    @property
    def pid(self) -> int:
        """Give its process id."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal. Not by its transport: that would look for the end, and take it from asyncio."""
        os.kill(self._process.pid, number)

    async def ended(self, within_s: float = 60.0) -> int:
        """Read to the end and give the exit code."""
        assert self._process.stdout is not None
        async with asyncio.timeout(within_s):
            async for raw in self._process.stdout:
                self.lines.append(json.loads(raw))
            return await self._process.wait()

    async def text(self, wanted: str) -> str:
        """Read on until such a text comes; for commands that write no log lines."""
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            if wanted in raw.decode():
                return raw.decode()
        raise AssertionError(f"no {wanted!r}: {await self.errors()}")

    async def output(self) -> str:
        """Give all that it writes to standard output; it must exit 0."""
        written, errors = await self._process.communicate()
        assert self._process.returncode == 0, errors.decode()
        return written.decode()

    async def exit_code(self) -> int:
        """Read to the end, whatever it writes, and give the exit code."""
        await self._process.communicate()
        return await self._process.wait()

    async def errors(self) -> str:
        """Give what it wrote to standard error; only once it has ended."""
        assert self._process.stderr is not None
        return (await self._process.stderr.read()).decode()

    @property
    def end(self) -> dict[str, Any]:
        """Give the line that says how the attempt ended."""
        return next(line for line in reversed(self.lines) if "verdict" in line)

    @property
    def faults(self) -> list[str]:
        """Give why it could not start."""
        faults: list[str] = next(line for line in self.lines if "faults" in line)["faults"]
        return faults

    async def kill(self) -> None:
        """End it if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def worker(*arguments: str, **environment: str) -> AsyncIterator[Worker]:
    """Run a worker; it has ended when this is left."""
    running = await Worker.start(*arguments, **environment)
    try:
        yield running
    finally:
        await running.kill()
        await running.errors()


async def finished(*arguments: str, **environment: str) -> tuple[int, Worker]:
    """Run a worker to its end; give the exit code and its lines."""
    async with worker(*arguments, **environment) as running:
        return await running.ended(within_s=900.0), running


def adds_up(tally: dict[str, Any]) -> bool:
    """Tell whether read = done + skipped + failed + unfinished."""
    return bool(tally["read"] == tally["done"] + sum(tally["skipped"].values()) + tally["failed"] + tally["unfinished"])
