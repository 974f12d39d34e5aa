"""The page commit of an attempt: its job's `write` within the run store's transaction, or, where that goes elsewhere, before it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from worker.errors import LeaseLost, Transient
from worker.job import Result
from worker.ledger import Batch, Committed, DeadLetter, Ledger, Writing, Wrote
from worker.parts import Parts
from worker.sample import Sample
from worker.writing import Writer

_SAMPLES = 5


class PageCommits:
    """Commit batches; of a dry run only their counts, keeping a few samples of what would have been written."""

    def __init__(self, parts: Parts, ledger: Ledger, *, whole: bool = True) -> None:
        self._parts = parts
        self._finish: Any = parts.job.finish if whole and parts.mode == "run" else None
        self.samples: list[str] = []
        self._ahead = parts.job.idempotent and not parts.run.dry_run
        self._wrote: tuple[Batch, Wrote] | None = None
        write = self._pretend if parts.run.dry_run else parts.job.write

        def letter(result: Result, error: Exception) -> DeadLetter:
            return ledger.refusal(parts.source.key(result.record), error)

        self._writer = Writer(write, letter, self._is_refusal if self._ahead else parts.store.is_refusal)

    async def commit(self, batch: Batch, writing: Callable[[], None]) -> Committed:
        """Commit a batch, the last one together with what the job does once all is worked on; see `Sink`.

        What was written ahead is not written again when only the store asks for another try.
        """
        if self._ahead:
            writing()
        write = await self._written_ahead(batch) if self._ahead else self._telling(writing)
        if batch.last and self._finish is not None:
            write = self._and_finish(write)
        committed = await self._parts.store.commit(batch, self._parts.source.order, write)
        if self._wrote is None:
            return committed
        return replace(committed, refused=tuple(self._wrote[1].refused), lost_refusals=0)

    def _telling(self, told: Callable[[], None]) -> Writing:
        async def telling(results: Sequence[Result], connection: Any, careful: bool) -> Wrote:
            told()
            return await self._writer(results, connection, careful)

        return telling

    def _and_finish(self, writing: Writing) -> Writing:
        async def finishing(results: Sequence[Result], connection: Any, careful: bool) -> Wrote:
            wrote = await writing(results, connection, careful)
            if not wrote.refused and await self._parts.store.worked(connection):
                await self._finish(self._parts.run, connection)
            return wrote

        return finishing

    async def _written_ahead(self, batch: Batch) -> Writing:
        if self._wrote is None or self._wrote[0] is not batch:
            self._wrote = batch, await self._write_ahead(batch.results)
        wrote = self._wrote[1]

        async def written(*_: Any) -> Wrote:
            return wrote

        return written

    async def _write_ahead(self, results: Sequence[Result]) -> Wrote:
        """Write what goes elsewhere; when that is refused, find out which results are to blame."""
        try:
            try:
                return await self._writer(results, None, careful=False)
            except Exception as error:
                if not self._is_refusal(error):
                    raise
            return await self._writer(results, None, careful=True)
        except Exception as error:
            if isinstance(error, Transient) or not self._parts.job.retry.worth_it(error):
                raise
            raise Transient(f"write: {str(error) or type(error).__name__}") from error

    def _is_refusal(self, error: Exception) -> bool:
        """Tell whether a write elsewhere may have failed because of one result in it: whatever another try would not mend."""
        return not isinstance(error, LeaseLost) and not self._parts.job.retry.worth_it(error)

    async def _pretend(self, results: Sequence[Result], connection: Any) -> None:
        """Note some of what a dry run would have changed."""
        sample, source = Sample(self._parts.mask), self._parts.source
        for record, value in results[: _SAMPLES - len(self.samples)]:
            self.samples.append(sample(", ".join(map(str, source.encode(source.key(record)))), value))
