"""`serve` and `token`: runs started over HTTP, each a child process like the container's, or with `--ecs` a task."""

import argparse
import asyncio
import os
import shlex
import sys
import types
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from worker import registry
from worker.cli.store import room
from worker.environment import Settings, settings
from worker.errors import Faults
from worker.events import Summary
from worker.mask import Mask
from worker.report import logs
from worker.report.slack_message import message
from worker.signals import Signals
from worker.stop import Stop

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from worker.admin.ports import Carrier
    from worker.admin.tokens import Tokens

_FOR_ITSELF_S = 5.0
"""What serve keeps of the stop timeout for itself: the runs must have ended before it is killed."""


def make_token(options: argparse.Namespace) -> int:
    """Make a token: its text is printed once, its hash goes into the configuration."""
    made = _rooms()[0].make(options.name, options.may, options.days)
    from worker.admin.rights import missing, rights

    for job in missing(registry.names(), rights(options.may)):
        sys.stderr.write(f"There is no job {job!r} here: python -m worker list\n")
    sys.stderr.write("The token; it is shown this once. Send it as: Authorization: Bearer …\n")
    sys.stdout.write(f"{made.token}\n")
    sys.stderr.write("Let serve know it, after any others with a comma between; the quotes are for a shell:\n")
    # A shell that cuts it at its first semicolon leaves an entry without rights and end, which may do more.
    sys.stdout.write(f"ADMIN_TOKEN_HASHES={shlex.quote(made.entry)}\n")
    return 0


def serve(options: argparse.Namespace, signals: Signals) -> int:
    """Serve until SIGTERM or SIGINT; then the runs are stopped first."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options, signals))
    return 0


async def _serve(options: argparse.Namespace, signals: Signals) -> None:
    server = _rooms()[2]
    accepted, found = tokens_of(os.environ), settings()
    mask = mask_of(found)
    logs.configure(found.log_format, found.log_level, mask)
    stop = Stop()
    signals.hand_to(stop)
    async with api(found, mask, accepted, ecs=options.ecs, most=options.most) as (application, started):
        listener = server.listen(options.host, options.port)
        await server.serve(application, started, listener, stop, for_runs_s(found), options.trust_proxy)
    signals.ignore()


def for_runs_s(found: Settings) -> float:
    """Give what runs may take to stop: what serve does not keep for itself."""
    return max(2.0, found.stop_timeout_s - _FOR_ITSELF_S)


def tokens_of(environ: Mapping[str, str]) -> "Tokens":
    """Read who is let in. Raises Faults: nobody is served without a token."""
    accepted: Tokens = _rooms()[0].parse(environ.get("ADMIN_TOKEN_HASHES"))
    return accepted


@asynccontextmanager
async def api(
    found: Settings, mask: Mask, accepted: "Tokens", *, ecs: bool, most: int
) -> AsyncIterator[tuple["ASGIApp", "Carrier"]]:
    """Lend the API over the jobs and the run store that are here, and what carries its runs. Raises Faults."""
    jobs = {name: registry.load(name) for name in registry.names()}
    async with room(found).serving(found) as runs, _carrier(found, mask, ecs=ecs, most=most) as started:
        environ = None if ecs else os.environ
        yield _rooms()[1].app(jobs, runs, started, accepted, blocks=partial(_blocks, mask), environ=environ), started


def mask_of(found: Settings) -> Mask:
    """Mask what the settings keep secret."""
    return Mask([found.database_url, found.slack_webhook_url, found.slack_bot_token])


def _blocks(mask: Mask, summary: Mapping[str, Any]) -> list[Any]:
    """Give the message of a stored summary as Slack gets it; nothing for one that a former release has stored otherwise."""
    try:
        written = message(msgspec.convert(summary, Summary), mask)
    except msgspec.ValidationError:
        return []
    return list(written.blocks) if written else []


@asynccontextmanager
async def _carrier(found: Settings, mask: Mask, *, ecs: bool, most: int) -> AsyncIterator["Carrier"]:
    """Lend what starts the runs: processes here, or the launcher's tasks on ECS."""
    *_, children, tasks = _rooms()
    if ecs:
        from worker.cli.launching import launcher

        async with launcher(found) as opened:
            yield tasks.Tasks(opened.launch, opened.stop)
        return
    # They plan their own stop by it, and must be done before this process is killed.
    environ = {**os.environ, "STOP_TIMEOUT": f"{for_runs_s(found):g}"}
    yield children.Children(most=most, mask=mask, environ=environ)


def _rooms() -> tuple[types.ModuleType, ...]:
    """Load worker.admin, which is an extra. Raises Faults where it is not installed."""
    try:
        from worker.admin import children, routes, server, tasks, tokens
    except ImportError as error:
        raise Faults([f"serve is not installed ({error}): pip install 'ecs-batch-worker[admin]'"]) from error
    return tokens, routes, server, children, tasks
