"""What the documents tell you to run: every command in them is run here, or named with what runs it instead."""

import asyncio
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from payments import Payments, payments
from worker_process import Worker, worker

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

ELSEWHERE = {
    "aws ": "needs an account; the page says so",
    "NETWORK=": "goes with the aws command after it",
    "curl ": "tests/test_admin_qa.py sends the same requests",
    "python -m worker.aws.task_definition": "tests/test_render.py",
    "python -m worker doctor poll-payments --values": "tests/test_doctor.py",
    "python -m worker.aws.stack_parameters": "tests/test_stack_parameters.py",
    "for day in": "aws commands of a range of dates",
    "python -m worker.aws.pipeline_parameters": "tests/test_pipeline_stack.py",
    "python -m worker launch": "tests/test_launch_documents.py",
    "WORKER_RATE=0 WORKER_CONCURRENCY=8192 python -m worker launch": "tests/test_scale_document.py",
    "python -m worker new": "tests/test_new.py; it would write here",
    "make test": "this is it",
}
STAYS = ("local", "serve")


def commands() -> Iterator[tuple[str, str]]:
    """Give every command of every shell block, with its page."""
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            for command in _whole(block.replace("\\\n", " ").splitlines()):
                yield page.name, command


def _whole(lines: list[str]) -> Iterator[str]:
    """Join the lines of a quoted text that goes over several, and leave comments out."""
    pending = ""
    for line in lines:
        pending = f"{pending}\n{line}" if pending else line
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quote is still open
            continue
        if words:
            yield re.sub(r"\s+#.*", "", pending).strip()
        pending = ""


WORKER = sorted(
    {
        command
        for _, command in commands()
        if command.startswith("python -m worker ") and not command.startswith(tuple(ELSEWHERE))
    }
)
OTHERS = sorted({command for _, command in commands()} - set(WORKER))


@pytest.mark.parametrize("command", WORKER)
async def test_document_command_works(command: str, database_url: str) -> None:
    """It exits 0 where there is what it needs; what stays until it is stopped exits 0 then."""
    arguments = shlex.split(command)[3:]
    async with payments(database_url, 200) as world, worker(*arguments, **_environment(world, arguments)) as running:
        if arguments[0] in STAYS:
            await _ready(running, arguments[0])
            running.signal(signal.SIGTERM)
        code = await running.exit_code()
        assert code == 0, await running.errors()


@pytest.mark.parametrize("command", OTHERS)
async def test_document_command_is_known(command: str) -> None:
    """A make target exists; anything else is run by another test, or says what it needs."""
    if any(command.startswith(prefix) for prefix in ELSEWHERE):
        return
    words = shlex.split(command)
    assert words[0] == "make", f"{command!r} is run by no test"
    process = await asyncio.create_subprocess_exec(
        "make", "-n", *words[1:], cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


def _environment(world: Payments, arguments: list[str]) -> dict[str, str]:
    """Give what a reader would have set by then."""
    if "--local" in arguments or arguments[0] == "local":
        return {"WORKER_RATE": "0"}
    return world.environment | {"ADMIN_TOKEN_HASHES": f"qa={'0' * 64}"}


async def _ready(running: Worker, command: str) -> None:
    if command == "local":
        await running.text("export STRIPE_API_KEY=")
    else:
        await running.text('"serving"')
