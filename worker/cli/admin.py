"""`serve` and `token`: runs started over HTTP, each a child process like the container's, or with `--ecs` a task."""

import argparse
import asyncio
import os
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
    from worker.admin.ports import Carrier

_FOR_ITSELF_S = 5.0
"""What serve keeps of the stop timeout for itself: the runs must have ended before it is killed."""


def make_token(options: argparse.Namespace) -> int:
    """Make a token: its text is printed once, its hash goes into the configuration."""
    made = _rooms()[0].make(options.name, options.may, options.days)
    sys.stderr.write("The token; it is shown this once. Send it as: Authorization: Bearer …\n")
    sys.stdout.write(f"{made.token}\n")
    sys.stderr.write("Let serve know it, after any others with a comma between:\n")
    sys.stdout.write(f"ADMIN_TOKEN_HASHES={made.entry}\n")
    return 0


def serve(options: argparse.Namespace, signals: Signals) -> int:
    """Serve until SIGTERM or SIGINT; then the runs are stopped first."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options, signals))
    return 0


async def _serve(options: argparse.Namespace, signals: Signals) -> None:
    tokens, routes, server, *_ = _rooms()
    accepted = tokens.parse(os.environ.get("ADMIN_TOKEN_HASHES"))
    found = settings()
    store = room(found)
    mask = Mask([found.database_url, found.slack_webhook_url, found.slack_bot_token])
    logs.configure(found.log_format, found.log_level, mask)
    stop = Stop()
    signals.hand_to(stop)
    jobs = {name: registry.load(name) for name in registry.names()}
    for_runs_s = max(2.0, found.stop_timeout_s - _FOR_ITSELF_S)
    async with store.serving(found) as runs, _carrier(options, found, mask, for_runs_s) as started:
        environ = None if options.ecs else os.environ
        application = routes.app(jobs, runs, started, accepted, blocks=partial(_blocks, mask), environ=environ)
        listener = server.listen(options.host, options.port)
        await server.serve(application, started, listener, stop, for_runs_s, options.trust_proxy)
    signals.ignore()


def _blocks(mask: Mask, summary: Mapping[str, Any]) -> list[Any]:
    """Give the message of a stored summary as Slack gets it; nothing for one that a former release has stored otherwise."""
    try:
        written = message(msgspec.convert(summary, Summary), mask)
    except msgspec.ValidationError:
        return []
    return list(written.blocks) if written else []


@asynccontextmanager
async def _carrier(
    options: argparse.Namespace, found: Settings, mask: Mask, for_runs_s: float
) -> AsyncIterator["Carrier"]:
    """Lend what starts the runs: processes here, or the launcher's tasks on ECS."""
    *_, children, tasks = _rooms()
    if options.ecs:
        from worker.cli.launching import launcher

        async with launcher(found) as opened:
            yield tasks.Tasks(opened.launch, opened.stop)
        return
    # They plan their own stop by it, and must be done before this process is killed.
    environ = {**os.environ, "STOP_TIMEOUT": f"{for_runs_s:g}"}
    yield children.Children(most=options.most, mask=mask, environ=environ)


def _rooms() -> tuple[types.ModuleType, ...]:
    """Load worker.admin, which is an extra. Raises Faults where it is not installed."""
    try:
        from worker.admin import children, routes, server, tasks, tokens
    except ImportError as error:
        raise Faults([f"serve is not installed ({error}): pip install 'ecs-batch-worker[admin]'"]) from error
    return tokens, routes, server, children, tasks
