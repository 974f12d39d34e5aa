"""The core loop over sources of another kind: sparse pages, and queues whose records are let go of once they are finished."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from fakes import Batches, Row, Rows, adds_up, engine_over, now

from worker.errors import Postponed, Transient
from worker.ledger import Batch, Committed, DeadLetter
from worker.limits import Limits
from worker.outcome import done, failed, skipped
from worker.retry import Retry
from worker.source import Failure, Key, Page, Promise

pytestmark = pytest.mark.looptime


class Sparse(Rows):
    """A source that looks at so many rows for each page and selects every hundredth."""

    promise = Promise.AT_LEAST_ONCE

    async def page(self, after: Key | None, size: int) -> Page:
        """Give what is selected of the next 50 rows, and how far they go."""
        first = 0 if after is None else after[0] + 1
        looked_at = range(first, min(first + 50, len(self._ids)))
        rows = [self._row(number) for number in looked_at if number % 100 == 99]
        return Page(rows[:size], (looked_at[-1],) if looked_at and looked_at[-1] + 1 < len(self._ids) else None)


class Queue(Rows):
    """A source that is told what to let go of."""

    promise = Promise.QUEUE

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__(ids)
        self.let_go: list[int] = []
        self.poison: list[tuple[int, str, str]] = []
        self.away = 1

    def redrive(self) -> str:
        """Name a command."""
        return "redrive"

    async def acknowledge(self, finished: Sequence[Row], failed: Sequence[Failure]) -> None:
        """Note it, the second time that it is asked."""
        if self.away:
            self.away -= 1
            raise Transient("the queue is away")
        self.let_go += [row.id for row in finished]
        self.poison += [(row.id, kind, message) for row, kind, message in failed]


async def test_engine_goes_on_after_pages_without_records() -> None:
    """A page without records is not the end, and moves the cursor on."""
    sink = Batches()
    engine = engine_over(Sparse(range(1_000)), sink=sink, limits=Limits(page_size=10))
    await engine.work()
    assert sorted(sink.ids()) == list(range(99, 1_000, 100))
    assert engine.complete
    assert adds_up(engine)


async def test_engine_commits_how_far_a_barren_source_was_searched() -> None:
    """Nothing found is progress, too: a resume need not look at it again."""
    sink = Batches()
    source = Sparse(range(90))
    source.delay_s = 0
    engine = engine_over(source, sink=sink)
    await engine.work()
    assert engine.complete
    assert sink.last.cursor == [49]


async def test_engine_tells_a_queue_what_is_finished_after_the_commit() -> None:
    """Done and skipped ones are let go of, failed and refused ones are told apart; there is no cursor to keep."""
    queue, sink = Queue(range(10)), Batches()

    async def process(row: Row) -> Any:
        return failed("poison") if row.id == 3 else skipped("old") if row.id == 4 else done(row.id)

    def refuse(batch: Batch) -> Committed:
        assert not queue.let_go, "not before it is committed"
        if not batch.dead_letters:
            return Committed(1)
        letter = batch.dead_letters[0]
        return Committed(1, refused=[DeadLetter([5], "refused", "too long", 1, letter.first_at, letter.last_at)])

    sink.answer = refuse
    engine = engine_over(queue, process, sink)
    await engine.work()
    assert sorted(queue.let_go) == [0, 1, 2, 4, 6, 7, 8, 9]
    assert sorted(queue.poison) == [(3, "Failed", "poison"), (5, "refused", "too long")]
    assert (sink.last.cursor, sink.last.open_keys) == (None, [])


async def test_engine_takes_a_queues_records_however_old() -> None:
    """What is held is current: to drop it and to read it again would lose it, for a queue gives it once."""
    queue, sink = Queue(range(20)), Batches()

    async def slow(row: Row) -> Any:
        await asyncio.sleep(5)
        return done(row.id)

    engine = engine_over(queue, slow, sink, limits=Limits(concurrency=1, max_age=1, page_size=10))
    await engine.work()
    assert sink.ids() == list(range(20))
    assert not queue.reread


async def test_engine_lets_a_postponed_record_wait_outside_its_slot() -> None:
    """The others go on meanwhile; it comes back when its turn is, and what was no try is not counted as one."""
    sink, postponed, ended = Batches(), list[float](), list[tuple[int, float]]()

    async def process(row: Row) -> Any:
        if row.id == 0 and len(postponed) < 5:
            postponed.append(now())
            raise Postponed("not yet", 10)
        ended.append((row.id, now()))
        return done(row.id)

    engine = engine_over(Rows(range(3)), process, sink, limits=Limits(concurrency=1), retry=Retry(attempts=1))
    await engine.work()
    assert [number for number, _ in ended] == [1, 2, 0]
    assert [round(later - earlier) for earlier, later in pairwise([*postponed, ended[-1][1]])] == [10] * 5
    assert (engine.ledger.tally.retries, engine.ledger.tally.throttled) == (0, 0)
