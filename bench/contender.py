"""Run one side of a comparison as a process of its own, and read what it measured."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.world import ROOT, World

_runs = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process did: records, wall and CPU seconds, peak memory in bytes."""

    records: int
    seconds: float
    cpu_s: float
    rss: int

    @property
    def rate(self) -> float:
        """Give the records a second."""
        return self.records / self.seconds


async def rival(module: str, *arguments: str) -> Sample:
    """Measure one of `bench.rivals`."""
    lines = await output("-m", f"bench.rivals.{module}", *arguments, room=ROOT, environment={})
    return Sample(**json.loads(lines[-1]))


async def worker(world: World, job: str, *scope: str, flags: Sequence[str] = (), **tuning: str) -> Sample:
    """Measure `python -m worker <job>`, from its claim to its end; jobs other than the shipped ones are in `bench/room`."""
    room = ROOT if (ROOT / "jobs" / f"{job.replace('-', '_')}.py").exists() else ROOT / "bench" / "room"
    fields = [argument for field in scope for argument in ("--scope", field)]
    lines = await output(
        *("-m", "worker", job, "--run-key", f"bench-{next(_runs)}", *fields, *flags),
        room=room,
        environment=world.environment | tuning,
    )
    end = next(line for line in map(json.loads, reversed(lines)) if "verdict" in line)
    if end["verdict"] != "succeeded":
        raise SystemExit(f"{job} did not succeed: {end}")
    return Sample(end["tally"]["read"], end["duration_s"], end["cpu_s"], end["peak_memory"])


async def output(*arguments: str, room: os.PathLike[str], environment: dict[str, str]) -> list[str]:
    """Run Python with these arguments and give the lines that it wrote; what fails there ends us."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=room,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LOG_FORMAT": "json", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    written, errors = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} failed: {errors.decode()[-2000:]}{written.decode()[-2000:]}")
    return written.decode().splitlines()
