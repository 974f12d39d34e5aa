"""What the admin API needs of the run store: to look, never to write."""

from typing import Protocol

from worker.runs import RunView


class Runs(Protocol):
    """Look up runs; raises Transient or DatabaseAway where the store cannot be asked."""

    async def find(self, run_id: str) -> RunView | None:
        """Find the run `job:run-key`."""
        ...

    async def holder(self, job: str) -> RunView | None:
        """Find the live run that holds the job's lease now."""
        ...
