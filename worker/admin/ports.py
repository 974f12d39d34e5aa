"""What the admin API needs of others: to look at runs, and somebody who carries those that it starts."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from worker.admin.asked import Asked
from worker.admin.live import Live
from worker.errors import Permanent, Transient
from worker.runs import LetterView, Place, RunPage, RunView

Blocks = Callable[[Mapping[str, Any]], list[Any]]
"""Gives the summary of a run, as it is stored, as the blocks of the message in Slack."""


class Full(Transient):
    """No further run can be started on this server now."""


class Unfit(Permanent):
    """This server starts no runs of that kind."""


class Runs(Protocol):
    """Look up runs; raises Transient or DatabaseAway where the store cannot be asked."""

    async def find(self, run_id: str) -> RunView | None:
        """Find the run `job:run-key`."""
        ...

    async def scope_hash(self, run_id: str) -> str | None:
        """Give what tells a run's scope from another, secret fields included: nothing to be shown."""
        ...

    async def holder(self, lease: str) -> RunView | None:
        """Find the live run that holds this lease now."""
        ...

    async def page(self, job: str | None, status: str | None, before: Place | None, limit: int) -> RunPage:
        """Give the next runs before a place, newest first."""
        ...

    async def dead_letters(self, run_id: str, limit: int, after: list[Any] | None = None) -> list[LetterView]:
        """Give a run's failed records in the order of their keys, those behind a key."""
        ...


class Started(Protocol):
    """A run that was started here, and what is known of it before the run store knows."""

    @property
    def asked(self) -> Asked:
        """Give what was asked for."""
        ...

    @property
    def view(self) -> RunView:
        """Give what is known."""
        ...

    @property
    def live(self) -> Live:
        """Give what its process says while it works."""
        ...

    @property
    def ended(self) -> asyncio.Event:
        """Give what is set once nothing more will be known here."""
        ...


class Carrier(Protocol):
    """Starts runs: as processes here (children.py), or as tasks (tasks.py)."""

    closing: asyncio.Event

    @property
    def live(self) -> Sequence[Started]:
        """List what has not ended."""
        ...

    def find(self, run_id: str) -> Started | None:
        """Find the latest start of a run."""
        ...

    def start(self, asked: Asked) -> Started:
        """Start a run; raises Full where no more may go on here, Unfit where none like it can."""
        ...

    async def stop(self, run: RunView) -> bool:
        """Ask a live run to stop; False where it is not ours to stop. Raises WorkerError where that could not be asked."""
        ...

    async def close(self, timeout_s: float) -> None:
        """End what goes on here, within so many seconds."""
        ...
