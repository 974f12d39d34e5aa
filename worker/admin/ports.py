"""What the admin API needs of others: to look at runs, and somebody who carries those that it starts."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from worker.admin.asked import Asked
from worker.runs import RunView


class Runs(Protocol):
    """Look up runs; raises Transient or DatabaseAway where the store cannot be asked."""

    async def find(self, run_id: str) -> RunView | None:
        """Find the run `job:run-key`."""
        ...

    async def holder(self, job: str) -> RunView | None:
        """Find the live run that holds the job's lease now."""
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
        """Start a run; raises Full where no more may go on here."""
        ...

    async def close(self, timeout_s: float) -> None:
        """End what goes on here, within so many seconds."""
        ...
