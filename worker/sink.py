"""The page commit of an attempt: its job's `write` within the run store's transaction."""

from collections.abc import Sequence
from typing import Any

from worker.job import Result
from worker.ledger import Batch, Committed, DeadLetter, Ledger, Wrote
from worker.parts import Parts
from worker.writing import Writer

_SAMPLES = 5


class PageCommits:
    """Commit batches; of a dry run only their counts, keeping a few samples of what would have been written."""

    def __init__(self, parts: Parts, ledger: Ledger, *, whole: bool = True) -> None:
        self._parts = parts
        self._finish: Any = parts.job.finish if whole and parts.mode == "run" else None
        self.samples: list[str] = []
        write = self._pretend if parts.run.dry_run else parts.job.write

        def letter(result: Result, error: Exception) -> DeadLetter:
            return ledger.refusal(parts.source.key(result.record), error)

        self._writer = Writer(write, letter, parts.store.is_refusal)

    async def commit(self, batch: Batch) -> Committed:
        """Commit a batch, the last one together with what the job does once all is worked on; see `Sink`."""
        writing = self._write_and_finish if batch.last and self._finish is not None else self._writer
        return await self._parts.store.commit(batch, self._parts.source.order, writing)

    async def _write_and_finish(self, results: Sequence[Result], connection: Any, careful: bool) -> Wrote:
        wrote = await self._writer(results, connection, careful)
        if not wrote.refused:
            await self._finish(self._parts.run, connection)
        return wrote

    async def _pretend(self, results: Sequence[Result], connection: Any) -> None:
        """Note what a dry run would have written."""
        for result in results[: _SAMPLES - len(self.samples)]:
            key = self._parts.source.encode(self._parts.source.key(result.record))
            self.samples.append(self._parts.mask(f"{', '.join(map(str, key))}: {result.value!r}"))
