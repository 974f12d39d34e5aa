"""Serve the local stack until it is stopped: to a shell (`python -m worker local`) or to the worker that asked (`--local`)."""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TextIO

from worker.errors import Faults
from worker.local.provider_process import ProviderOptions
from worker.local.stack import Stack

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def serve(
    names: Collection[str],
    provider: ProviderOptions,
    *,
    prepare: Callable[[Stack], Awaitable[None]],
    child: bool = False,
) -> int:
    """Start what `names` name, `prepare` it, say where it is, stay until a signal, take it all away; give the exit code.

    `prepare` may add to the stack's environment and words.
    As a child it speaks lines of JSON, and the end of its stdin stops it too. Raises Faults where it cannot start (a child
    sends them to its parent instead).
    """
    stop = _stop(child)
    try:
        async with Stack(names, provider) as stack:
            if await _before(stop, prepare(stack)):
                _announce(stack, child)
                await stop.wait()
            report = await stack.report()
    except Faults as faults:
        if not child:
            raise
        _line({"error": faults.faults})
        return 2
    _take_leave(report, child)  # only now: who reads it may be gone, the servers must be
    return 0


def _stop(child: bool) -> asyncio.Event:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop.set)
    if child:
        loop.add_reader(sys.stdin.fileno(), _at_end, sys.stdin.fileno(), stop)
    return stop


def _at_end(pipe: int, stop: asyncio.Event) -> None:
    if not os.read(pipe, 1024):
        asyncio.get_running_loop().remove_reader(pipe)
        stop.set()


async def _before(stop: asyncio.Event, work: Awaitable[None]) -> bool:
    """Do the work, but no longer than until the stop; tell whether it was done."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
    await asyncio.gather(working, return_exceptions=stop.is_set())
    return not stop.is_set()


def _announce(stack: Stack, child: bool) -> None:
    if child:
        _line({"environment": stack.environment, "started": stack.started})
        return
    for name, value in stack.environment.items():
        _say(sys.stdout, f"export {name}={shlex.quote(value)}")
    started = ", ".join(stack.started)
    _say(sys.stderr, f"Started {started}. Paste the lines above into another shell; Ctrl-C here ends it all.")


def _take_leave(report: str | None, child: bool) -> None:
    if child:
        _line({"report": report})
    elif report:
        _say(sys.stderr, report)


def _line(message: dict[str, Any]) -> None:
    _say(sys.stdout, json.dumps(message))


def _say(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()
