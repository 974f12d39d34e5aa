"""Between a shard's process and the one that started it: what an attempt tells goes up a pipe, to be shown as one."""

import select
from multiprocessing.connection import Connection
from typing import TypeAlias

from worker.events import ErrorGroup, Progress, Reporter, Start, Summary
from worker.report.log_reporter import log_failure

Told: TypeAlias = Start | Progress | Summary
"""A summary without a shard is that of the whole run."""

_PATIENCE_S = 2.0


class ShardReporter(Reporter):
    """Send starts, progress and ends; only failures are logged here, whose stacks nobody else has."""

    def __init__(self, file: int, *, logs_failures: bool) -> None:
        self._logs_failures = logs_failures
        self._pipe = Connection(file, readable=False)

    def started(self, start: Start) -> None:
        """Send it."""
        self._send(start, _PATIENCE_S)

    def progress(self, progress: Progress) -> None:
        """Send it, unless nobody reads."""
        self._send(progress, 0)

    def failed(self, group: ErrorGroup) -> None:
        """Log the failure; where people look on, a bug's stack alone."""
        if self._logs_failures or group.stack:
            log_failure(group)

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Send it."""
        self._send(summary, _PATIENCE_S)

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Send how the whole run ended."""
        self._send(summary, _PATIENCE_S)

    def _send(self, told: Told, patience_s: float) -> None:
        _, writable, _ = select.select([], [self._pipe], [], patience_s)
        if writable:
            self._pipe.send(told)


def received(pipe: Connection) -> list[Told]:
    """Give what has come; raises EOFError once the process has ended and all was given."""
    found: list[Told] = []
    while pipe.poll():
        try:
            found.append(pipe.recv())
        except EOFError:
            if found:
                break
            raise
    return found
