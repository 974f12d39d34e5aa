"""Run the image as its task definition has ECS run it: read-only, without capabilities, with its memory; on the host's network."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory
from typing import Any

from worker_process import Worker

IMAGE = os.environ.get("IMAGE", "")
ENGINE = os.environ.get("ENGINE", "docker")
LIKE_ECS = (
    *("--rm", "--network", "host", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *(() if "docker" in ENGINE else ("--read-only-tmpfs=false", "--no-healthcheck")),
)


class Container(Worker):
    """A container of the image whose log lines are read as they come."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        super().__init__(process)
        self._name = name

    async def stop(self, within_s: int) -> None:
        """Stop it as ECS does: SIGTERM, and SIGKILL so many seconds later."""
        await engine("stop", "--time", str(within_s), self._name)

    async def kill(self) -> None:
        """End it if it has not ended: the client alone would leave the container behind."""
        await output("rm", "--force", self._name)
        await super().kill()


@asynccontextmanager
async def container(*arguments: str, memory: str = "512m", **environment: str) -> AsyncIterator[Container]:
    """Run the worker in a container; it has ended when this is left."""
    name = f"worker-{uuid.uuid4().hex[:12]}"
    limits = ("--name", name, "--memory", memory, "--memory-swap", memory)
    variables = [word for pair in environment.items() for word in ("--env", "=".join(pair))]
    with TemporaryDirectory() as folder:  # podman leaves a file named `oom` where it was started
        process = await asyncio.create_subprocess_exec(
            *(ENGINE, "run", *LIKE_ECS, *limits, *variables, IMAGE, *arguments),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        running = Container(process, name)
        try:
            yield running
        finally:
            await running.kill()
            await running.errors()


async def python(code: str, *options: str) -> tuple[int, str]:
    """Run the Python of the image with some code; give its exit code and what it said."""
    return await output("run", *LIKE_ECS, *options, "--entrypoint", "python", IMAGE, "-c", code)


async def described() -> dict[str, Any]:
    """Give what the engine knows about the image."""
    found: dict[str, Any] = json.loads(await engine("inspect", "--type", "image", IMAGE))[0]
    return found


async def engine(*arguments: str) -> str:
    """Run a command of the engine, which must succeed; give what it said."""
    code, said = await output(*arguments)
    assert code == 0, said
    return said


async def output(*arguments: str) -> tuple[int, str]:
    """Run a command of the engine; give its exit code and what it said, errors last."""
    with TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(ENGINE, *arguments), cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        said, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, (said + errors).decode()
