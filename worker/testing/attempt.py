"""One attempt of a job as the container runs it: a process of its own, whose log lines are read as they come."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

_LAST = 4
_LONGEST = 600


class Attempt:
    """`python -m worker <job> --run-key …` with nothing in its environment but what is given; killed when left."""

    def __init__(self, job: str, run_key: str, environment: dict[str, str], arguments: tuple[str, ...] = ()) -> None:
        self._command = (sys.executable, "-m", "worker", job, "--run-key", run_key, *arguments)
        self._environment = {"PATH": os.environ["PATH"], **environment, "LOG_FORMAT": "json"}
        self.lines: list[dict[str, Any]] = []
        self.awake = asyncio.Event()
        """Its first line is there: from now on it minds signals."""
        self.at_work = asyncio.Event()
        """It has the lease."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**20,
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.send(signal.SIGKILL)
        await self._process.wait()
        await self._reading

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended. Not by its transport: that would look for the end, and take it from asyncio."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    async def ended(self, within_s: float) -> int:
        """Wait for its end and give the exit code. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            code = await self._process.wait()
            await asyncio.shield(self._reading)
        return code

    async def until(self, event: asyncio.Event, within_s: float) -> None:
        """Wait for `awake` or `at_work`, or for the attempt's end if that comes first."""
        waiting = asyncio.create_task(event.wait())
        await asyncio.wait((waiting, self._reading), timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()

    @property
    def verdict(self) -> str:
        """Give the word of its last line, if it came so far."""
        return str(self._last.get("verdict", ""))

    @property
    def detail(self) -> str:
        """Give what its last line says beside the verdict."""
        return str(self._last.get("detail", ""))

    @property
    def last_words(self) -> str:
        """Give its last lines, cut short."""
        lines = [line for line in self.lines if "_aws" not in line]
        return "".join(f"\n  {json.dumps(line)[:_LONGEST]}" for line in lines[-_LAST:])

    @property
    def _last(self) -> dict[str, Any]:
        return next((line for line in reversed(self.lines) if "verdict" in line), {})

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            self.lines.append(_parsed(raw))
            self.awake.set()
            if "stop_plan" in self.lines[-1]:
                self.at_work.set()


def _parsed(raw: bytes) -> dict[str, Any]:
    """Read a log line; what the job prints itself, or a traceback, is none."""
    try:
        line = json.loads(raw)
    except ValueError:
        line = None
    return line if isinstance(line, dict) else {"event": raw.decode(errors="replace").rstrip()}
