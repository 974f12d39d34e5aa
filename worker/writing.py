"""Hand a page's results to the job's `write`, and find the ones that cannot be written."""

from collections.abc import Awaitable, Callable, Sequence, Sized
from typing import Any

from worker.job import Result, Written
from worker.ledger import DeadLetter, Wrote

Write = Callable[[Sequence[Result], Any], Awaitable[Written]]


_CHECK_DEFERRED = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
"""What a constraint would refuse at COMMIT, it refuses here, where it can be told by whom."""


class Writer:
    """Write pages for the page commit; `letter` makes the dead letter of a result that was refused."""

    def __init__(
        self,
        write: Write | None,
        letter: Callable[[Result, Exception], DeadLetter],
        is_refusal: Callable[[Exception], bool],
    ) -> None:
        self._write, self._letter, self._is_refusal = write, letter, is_refusal

    async def __call__(self, results: Sequence[Result], connection: Any, careful: bool) -> Wrote:
        """Write a page at once; when that was refused before, `careful` finds out by whom."""
        if not results or self._write is None:
            return Wrote()
        return await (self._halves if careful else self._all)(self._write, results, connection)

    async def _all(self, write: Write, results: Sequence[Result], connection: Any) -> Wrote:
        written = await write(results, connection)
        if written is None:
            return Wrote()
        if isinstance(written, str) or not isinstance(written, Sized) or len(written) > len(results):
            raise TypeError(f"it returned {written!r:.80}; it must return the rows that it wrote, once each, or None")
        return Wrote(len(results) - len(written))

    async def _apart(self, write: Write, results: Sequence[Result], connection: Any) -> Wrote:
        """Write so that a refusal leaves the page's transaction as it was; what goes elsewhere has none."""
        if connection is None:
            return await self._all(write, results, connection)
        async with connection.transaction():
            wrote = await self._all(write, results, connection)
            await connection.execute(_CHECK_DEFERRED)
            return wrote

    async def _halves(self, write: Write, results: Sequence[Result], connection: Any) -> Wrote:
        """Write by halves until the results that are refused stand alone."""
        try:
            return await self._apart(write, results, connection)
        except Exception as error:
            if not self._is_refusal(error):
                raise
            if len(results) == 1:
                return Wrote(0, [self._letter(results[0], error)])
        middle = len(results) // 2
        first = await self._halves(write, results[:middle], connection)
        second = await self._halves(write, results[middle:], connection)
        return Wrote(first.changed + second.changed, first.refused + second.refused)
