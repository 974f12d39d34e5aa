"""Commit pages: hand what is finished to the sink, with the checkpoint that it belongs to."""

import asyncio
import time
from collections.abc import Callable, Sequence

from worker.events import Commit, Reporter
from worker.ledger import Batch, DeadLetter, Ledger, Sink
from worker.patience import Patience
from worker.source import Acknowledging, Failure, JsonKey, Key, Promise, Record, Source
from worker.supply import Parked, Supply

_COMMIT_EVERY_S = 1.0


class Committer:
    """Commit when a page of results is there, once a second, and a last time at the end.

    `in_hand` gives what is being worked on, `complete` whether every record has its outcome, `finishes` whether the job is to be
    told that; `writing` and `ended` are called as a commit is about to write, and as it is recorded.
    """

    def __init__(
        self,
        source: Source,
        supply: Supply,
        ledger: Ledger,
        sink: Sink,
        *,
        page_size: int,
        in_hand: Callable[[], list[Record | Parked]],
        complete: Callable[[], bool],
        finishes: bool,
        writing: Callable[[], None],
        ended: Callable[[], None],
        patiently: Patience,
        reporter: Reporter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._supply, self._ledger, self._sink = source, supply, ledger, sink
        self._page_size, self._in_hand, self._complete, self._finishes = page_size, in_hand, complete, finishes
        self._writing, self._ended = writing, ended
        self._patiently, self._reporter, self._clock = patiently, reporter, clock
        self._due = asyncio.Event()
        self._closing = False
        self.commits = 0
        self.committing_s = 0.0

    def ask(self) -> None:
        """Ask for a commit."""
        self._due.set()

    def close(self) -> None:
        """Ask for the last commit: nothing will be finished any more."""
        self._closing = True
        self._due.set()

    async def work(self) -> None:
        """Commit until the last commit was asked for and is done."""
        committed: tuple[int, Key | None] | None = None
        while True:
            closing = self._closing
            state = (self._ledger.tally.finished + self._ledger.tally.retries, self._supply.reached)
            complete = closing and self._complete()
            if state != committed or (complete and self._finishes):
                await self._commit(complete)
                committed = state
            if closing:
                return
            self._due.clear()
            if not self._closing and self._ledger.uncommitted < self._page_size:
                await self._asked()

    async def _asked(self) -> None:
        try:
            async with asyncio.timeout(_COMMIT_EVERY_S):
                await self._due.wait()
        except TimeoutError:
            return

    async def _commit(self, complete: bool) -> None:
        began = self._clock()
        self._ledger.tally.read = self._supply.read
        batch = self._ledger.take_batch(*self._checkpoint(), complete)
        done = await self._patiently(lambda: self._sink.commit(batch, self._writing))
        self._ledger.committed(batch, done)
        await self._acknowledge(batch, done.refused)
        self._ended()
        self.commits += 1
        duration_s = self._clock() - began
        self.committing_s += duration_s
        commit = Commit(
            number=done.number,
            records=len(batch.results) + len(batch.dead_letters),
            written=len(batch.results) - done.changed - done.refusals,
            cursor=batch.cursor,
            open_keys=len(batch.open_keys),
            duration_s=duration_s,
        )
        self._reporter.committed(commit)

    def _checkpoint(self) -> tuple[JsonKey | None, list[JsonKey]]:
        """Give the cursor, and the keys before it that have no outcome; of a queue there is neither."""
        if self._source.promise is Promise.QUEUE:
            return None, []
        encode, cursor = self._source.encode, self._supply.cursor()
        in_hand = [self._supply.key_of(taken) for taken in self._in_hand()]
        open_keys = [encode(key) for key in (*in_hand, *self._supply.open_keys())]
        return None if cursor is None else encode(cursor), open_keys

    async def _acknowledge(self, batch: Batch, refused: Sequence[DeadLetter]) -> None:
        """Tell a source that lets go of its records which of them are finished, now that this is recorded."""
        source = self._source
        if not isinstance(source, Acknowledging) or not (batch.finished or batch.failed):
            return
        finished, failed = list(batch.finished), list(batch.failed)
        if refused:
            letters = {str(letter.key): letter for letter in refused}
            named = [(record, letters.get(str(source.encode(source.key(record))))) for record in finished]
            failed += [Failure(record, letter.type, letter.message) for record, letter in named if letter]
            finished = [record for record, letter in named if letter is None]
        await self._patiently(lambda: source.acknowledge(finished, failed))
