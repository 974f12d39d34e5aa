"""What becomes of a try: retries, throttles, time-outs, broken records, and the budget they cost."""

import asyncio
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from fakes import Batches, Row, Rows, Steady, adds_up, engine_over, now

from worker.budget import ErrorBudget
from worker.errors import Permanent, Throttled, Transient
from worker.ledger import Batch, Committed
from worker.limits import Limits, Rate
from worker.outcome import done, skipped
from worker.retry import Retry

pytestmark = pytest.mark.looptime
ONCE = Retry(attempts=1)


class Hidden(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Numbered(Exception):
    """An error of a library that uses the name `type` for something else."""

    type = 7


async def test_tries_retries_what_is_transient_up_to_its_attempts() -> None:
    """A transient error is tried again, as often as the job says; any other is final."""
    tries: Counter[int] = Counter()
    errors = {
        0: Transient("a"),
        1: TimeoutError("b"),
        2: ConnectionError("c"),
        3: Permanent("d", "no"),
        4: KeyError("e"),
    }

    async def process(row: Row) -> Any:
        tries[row.id] += 1
        raise errors[row.id]

    sink = Batches()
    await engine_over(Rows(range(5)), process, sink, retry=Retry(attempts=3)).work()
    assert tries == {0: 3, 1: 3, 2: 3, 3: 1, 4: 1}
    letters = {letter.key[0]: letter for batch in sink.all for letter in batch.dead_letters}
    assert {key: letter.tries for key, letter in letters.items()} == tries
    assert [letters[key].type for key in range(5)] == ["Transient", "TimeoutError", "ConnectionError", "no", "KeyError"]
    assert sink.last.tally.retries == 6
    assert letters[0].first_at <= letters[0].last_at


async def test_tries_waits_longer_before_each_try() -> None:
    """The pause before another try doubles, up to its longest, at random below that."""
    at: list[float] = []

    async def process(row: Row) -> Any:
        at.append(now())
        raise Transient("again")

    await engine_over(Rows([1]), process, retry=Retry(attempts=6, first=1, longest=4)).work()
    waits = [later - earlier for earlier, later in pairwise(at)]
    assert all(wait <= bound + 0.2 for wait, bound in zip(waits, [1, 2, 4, 4, 4], strict=True))


async def test_tries_does_not_count_a_throttled_try() -> None:
    """A throttled record is tried again after the pause, however often; nobody calls during it."""
    calls: list[float] = []
    throttles = iter([5.0, 10.0, 5.0, 5.0, 5.0])

    async def process(row: Row) -> Any:
        calls.append(now())
        await asyncio.sleep(0.001)
        if row.id == 3 and (pause := next(throttles, None)):
            raise Throttled("slow down", pause)
        if row.id == 3 and not engine.ledger.tally.retries:
            raise Transient("the first try that counts")
        return done()

    engine = engine_over(Rows(range(50)), process, limits=Limits(concurrency=4, page_size=50), retry=Retry(attempts=2))
    await engine.work()
    assert engine.ledger.saved.done == 50
    assert engine.ledger.saved.retries == 1
    assert engine.ledger.saved.throttled == 5
    assert engine.throttled_s == pytest.approx(30)
    assert not [at for at in calls if 0.002 < at < 5 or 5.003 < at < 15]


@pytest.mark.parametrize("retry_after", [None, 0.0])
async def test_tries_pauses_longer_each_time_nobody_says_how_long(retry_after: float | None) -> None:
    """Without a time in the answer, or with none worth the name, pauses double up to half a minute."""
    calls: list[float] = []

    async def process(row: Row) -> Any:
        calls.append(now())
        if len(calls) < 9:
            raise Throttled("slow down", retry_after)
        return done()

    await engine_over(Rows([1]), process).work()
    assert [round(b - a) for a, b in pairwise(calls)] == [1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize("outcome", [done(), skipped("as it was")])
async def test_tries_pauses_briefly_again_once_a_record_went_well(outcome: Any) -> None:
    """What is asked for after that is a pause of its own."""
    calls: list[float] = []

    async def process(row: Row) -> Any:
        calls.append(now())
        if len(calls) in (1, 2, 4, 5):
            raise Throttled("slow down")
        return outcome

    await engine_over(Rows([1, 2]), process, limits=Limits(concurrency=1)).work()
    assert [round(b - a) for a, b in pairwise(calls)] == [1, 2, 0, 1, 2]


async def test_tries_pauses_for_a_limit_nobody_knows() -> None:
    """A throttle that names an unknown limit holds everybody, and does not crash the run."""
    throttles = iter([Throttled("slow down", 5, "who")])

    async def process(row: Row) -> Any:
        if error := next(throttles, None):
            raise error
        return done()

    engine = engine_over(Rows(range(5)), process, limits=Limits(concurrency=1))
    await engine.work()
    assert now() >= 5
    assert engine.ledger.saved.done == 5


async def test_tries_keeps_the_rate_with_retries() -> None:
    """Every try takes a permit, a repeated one too; the mean is used up."""
    calls: list[float] = []

    async def process(row: Row) -> Any:
        calls.append(now())
        await asyncio.sleep(0.05)
        if len(calls) % 3 == 0:
            raise Transient("again")
        return done()

    limits = Limits(concurrency=20, rate=Rate(50), page_size=100)
    engine = engine_over(Rows(range(1_000)), process, limits=limits, retry=Steady(attempts=50, first=0.1))
    await engine.work()
    assert all(calls[place + 50] - calls[place] >= 1 for place in range(len(calls) - 50))
    full = [at for at in calls if at < calls[-1] - 5]
    assert len(full) >= 0.98 * 50 * (full[-1] - full[0])


@pytest.mark.parametrize("made_of_it", ["cancelled", "converted", "swallowed", "cleaned up"])
async def test_tries_times_a_record_out(made_of_it: str) -> None:
    """A try that takes too long is cancelled and counts, whatever `process` makes of it; its slot stays as good as new."""
    tries: Counter[int] = Counter()
    cleaned: list[int] = []

    async def process(row: Row) -> Any:
        tries[row.id] += 1
        if row.id in (0, 2):
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                if made_of_it == "converted":
                    raise RuntimeError("the connection broke") from None
                if made_of_it == "swallowed":
                    return skipped("swallowed")
                if made_of_it == "cleaned up":
                    await asyncio.sleep(1)
                    cleaned.append(row.id)
                raise
        if row.id == 1:
            async with asyncio.timeout(1):  # works in a slot whose cancellation was undone
                await asyncio.sleep(0.1)
        return done()

    sink = Batches()
    limits = Limits(concurrency=1, record_timeout=2)
    engine = engine_over(Rows(range(4)), process, sink, limits=limits, retry=Retry(attempts=2))
    await engine.work()
    assert now() < 20
    assert engine.complete
    assert len(cleaned) == (4 if made_of_it == "cleaned up" else 0)
    if made_of_it == "swallowed":
        assert engine.ledger.saved.skips == 2
    else:
        assert tries == {0: 2, 1: 1, 2: 2, 3: 1}
        assert sorted(sink.dead()) == [0, 2]
        assert {letter.type for batch in sink.all for letter in batch.dead_letters} == {"TimeoutError"}


async def test_tries_leaves_other_slots_alone_at_a_time_out() -> None:
    """Only the record that is late is cancelled."""

    async def process(row: Row) -> Any:
        await asyncio.sleep(100 if row.id == 0 else 1.9)
        return done()

    sink = Batches()
    await engine_over(Rows(range(40)), process, sink, limits=Limits(concurrency=4, record_timeout=2), retry=ONCE).work()
    assert sink.dead() == [0]
    assert len(sink.ids()) == 39


async def test_tries_counts_a_record_once_that_finishes_as_it_expires() -> None:
    """A record that finishes at the very instant of its time-out has one outcome."""

    async def process(row: Row) -> Any:
        await asyncio.sleep(0.1 * row.id)
        return done()

    engine = engine_over(Rows(range(30)), process, limits=Limits(concurrency=30, record_timeout=1), retry=ONCE)
    await engine.work()
    assert engine.ledger.saved.finished == 30
    assert engine.ledger.saved.failed >= 18


@pytest.mark.parametrize(
    "breaking",
    [
        ValueError("x"),
        SystemExit(3),
        asyncio.CancelledError(),
        Hidden(),
        Numbered("n"),
        StopIteration(),
        ExceptionGroup("g", [OSError()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_tries_fails_a_record_that_breaks_process(breaking: BaseException) -> None:
    """Whatever `process` raises is that record's failure, not the run's."""

    async def process(row: Row) -> Any:
        if row.id == 1:
            raise breaking
        return done()

    sink = Batches()
    await engine_over(Rows(range(3)), process, sink, retry=ONCE).work()
    assert sink.dead() == [1]
    [letter] = [letter for batch in sink.all for letter in batch.dead_letters]
    assert isinstance(letter.type, str)
    assert letter.message


@pytest.mark.parametrize("returned", [None, True, "done", done, {"a": 1}])
async def test_tries_fails_a_record_without_an_outcome(returned: Any) -> None:
    """What `process` returns and is no outcome is a failure that says what was expected."""

    async def process(row: Row) -> Any:
        return returned if row.id == 1 else done()

    sink = Batches()
    await engine_over(Rows(range(3)), process, sink).work()
    [letter] = [letter for batch in sink.all for letter in batch.dead_letters]
    assert letter.type == "NoOutcome"
    assert "it must return" in letter.message


@pytest.mark.parametrize(
    ("errors", "at_most", "words"),
    [
        (ErrorBudget(count=10, share=None), 10 + 8, "10 are allowed"),
        (ErrorBudget(share=0.5, sample=40, window=100), 40 + 8, "(100 %), 50 % is allowed"),
    ],
)
async def test_tries_ends_when_the_error_budget_is_spent(errors: ErrorBudget, at_most: int, words: str) -> None:
    """A provider that is down ends the run after the budget's failures, and what failed is committed."""
    sink = Batches()

    async def process(row: Row) -> Any:
        await asyncio.sleep(0.01)
        raise Permanent("down")

    engine = engine_over(Rows(range(10_000)), process, sink, limits=Limits(concurrency=8), errors=errors)
    await engine.work()
    assert engine.ledger.overdrawn is not None
    assert words in engine.ledger.overdrawn
    assert len(sink.dead()) == engine.ledger.saved.failed <= at_most
    assert not engine.complete
    assert adds_up(engine)


async def test_tries_ends_when_what_was_refused_spends_the_budget() -> None:
    """Results that `write` refused count as failures: the run ends though `process` has nothing more to say."""

    def refuse(batch: Batch) -> Committed:
        letters = [engine.ledger.refusal((item.record["id"],), ValueError("too long")) for item in batch.results]
        return Committed(1, refused=letters)

    async def process(row: Row) -> Any:
        if row.id >= 20:
            raise Transient("later")
        return done()

    sink = Batches()
    sink.answer = refuse
    retry = Retry(attempts=50, first=500, longest=500)
    engine = engine_over(Rows(range(40)), process, sink, retry=retry, errors=ErrorBudget(count=5, share=None))
    await engine.work()
    assert now() < 10
    assert engine.ledger.saved.failed == 20
    assert engine.ledger.saved.done == 0


async def test_tries_pauses_no_shorter_for_what_was_refused() -> None:
    """Only a try that went well makes the next pause short, not counts that a commit corrects."""
    calls: list[float] = []

    async def process(row: Row) -> Any:
        if row.id < 10:
            return done()
        calls.append(now())
        if len(calls) < 9:
            raise Throttled("slow down")
        return done()

    def refuse(batch: Batch) -> Committed:
        letters = [engine.ledger.refusal((item.record["id"],), ValueError("too long")) for item in batch.results]
        return Committed(1, refused=letters)

    sink = Batches(delay_s=3.5)
    sink.answer = refuse
    engine = engine_over(Rows(range(11)), process, sink, limits=Limits(concurrency=1))
    await engine.work()
    assert [round(later - earlier) for earlier, later in pairwise(calls)] == [1, 2, 4, 8, 16, 30, 30, 30]


async def test_tries_pauses_no_shorter_for_what_is_gone() -> None:
    """Records that are found gone meanwhile say nothing about the other side."""
    calls: list[float] = []

    async def process(row: Row) -> Any:
        calls.append(now())
        if len(calls) < 12:
            source.gone.add(row.id)
            raise Throttled("slow down")
        return done()

    source = Rows(range(100))
    await engine_over(source, process, limits=Limits(concurrency=1, max_age=0.5)).work()
    assert [round(later - earlier) for earlier, later in pairwise(calls)][:8] == [1, 2, 4, 8, 16, 30, 30, 30]
