"""What became of the records: counts, groups, dead letters, and pages of results on their way to `write`."""

from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fakes import Row, result
from hypothesis import given
from hypothesis import strategies as st

from worker.budget import ErrorBudget
from worker.events import ErrorGroup
from worker.job import Result
from worker.ledger import CHANGED, Committed, DeadLetter, Ledger, Wrote, corrected
from worker.mask import Mask
from worker.outcome import Done, done, failed, skipped
from worker.tally import Tally
from worker.writing import Writer

COUNTS = st.integers(0, 10**6)
TALLIES = st.builds(
    Tally, COUNTS, COUNTS, COUNTS, st.dictionaries(st.sampled_from(["same", "gone", CHANGED]), COUNTS), COUNTS, COUNTS
)


def a_ledger(groups: list[ErrorGroup] | None = None, *, keeps_results: bool = True, mask: Mask | None = None) -> Ledger:
    """Make a ledger that keeps what it tells of error groups."""
    return Ledger(
        keeps_results=keeps_results,
        encode=list,
        budget=ErrorBudget(share=None),
        before=Tally(),
        mask=mask or Mask(),
        on_group=(groups if groups is not None else []).append,
    )


def finish(ledger: Ledger, outcome: object, number: int = 1) -> None:
    """Book an outcome of a record."""
    ledger.finish(Row(id=number), lambda: (number,), outcome, 1, None)


@given(TALLIES, TALLIES, TALLIES)
def test_tally_adds_up(one: Tally, other: Tally, third: Tally) -> None:
    """Adding loses nothing, in any order, and changes neither side."""
    before = one.to_json()
    assert one.plus(other).plus(third) == one.plus(other.plus(third))
    assert one.plus(other).finished == one.finished + other.finished
    assert one.plus(Tally()) == one
    assert one.to_json() == before
    assert one.read == one.done + one.skips + one.failed + one.unfinished


@given(TALLIES)
def test_tally_survives_the_run_store(tally: Tally) -> None:
    """What was saved is what is read back; a copy is a copy."""
    assert Tally.from_json(tally.to_json()) == tally
    assert Tally.from_json(None) == Tally()
    copy = tally.copy()
    copy.skip("another")
    assert "another" not in tally.skipped


def test_tally_bounds_its_reasons() -> None:
    """A job that puts ids into its reasons does not make every commit carry all of them."""
    tally = Tally(read=1_000)
    for number in range(1_000):
        tally.skip(f"order {number}")
    assert len(tally.skipped) == 51
    assert tally.skips == 1_000
    assert tally.skipped["other reasons"] == 950


@given(TALLIES, st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_ledger_corrects_without_losing_count(tally: Tally, changed: int, refused: int, lost: int) -> None:
    """What a commit left out moves from done to skipped or failed; the sum of outcomes stays."""
    letters = [a_ledger().refusal((number,), ValueError("x")) for number in range(refused)]
    true = corrected(tally, Committed(1, changed, letters, lost))
    assert true.finished == tally.finished
    assert true.failed == tally.failed + refused + lost
    assert true.skips == tally.skips + changed


def test_ledger_counts_what_was_committed_apart() -> None:
    """Results that are booked during a commit are in the counts, and not in those that are saved."""
    ledger = a_ledger()
    for number in range(5):
        finish(ledger, done(), number)
    batch = ledger.take_batch([4], [])
    finish(ledger, done(), 5)
    ledger.committed(batch, Committed(1, changed=1, refused=[ledger.refusal((2,), ValueError("x"))]))
    assert ledger.saved == Tally(done=3, failed=1, skipped={CHANGED: 1})
    assert ledger.tally == Tally(done=4, failed=1, skipped={CHANGED: 1})
    assert ledger.uncommitted == 1
    assert ledger.last_error == "ValueError: in write: x"


def test_ledger_keeps_no_results_for_a_job_without_write() -> None:
    """They would only take memory."""
    ledger = a_ledger(keeps_results=False)
    finish(ledger, done("value"))
    assert ledger.results == []
    assert ledger.tally.done == 1


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (failed(ValueError("as an error")), "as an error"),  # type: ignore[arg-type]
        (failed("nul\0 and \ud800 half"), "nul\\0 and \\ud800 half"),
        (failed("x" * 9_999, "y\0"), "x" * 2_000),
        (failed("the key sk_live_12345678 leaks"), "the key *** leaks"),
        (failed(None), "None"),  # type: ignore[arg-type]
    ],
)
def test_ledger_makes_letters_that_can_be_stored(outcome: object, message: str) -> None:
    """Whatever a job says, its dead letter is text that PostgreSQL takes, masked and bounded."""
    ledger = a_ledger()
    finish(ledger, outcome)
    [letter] = ledger.dead_letters
    assert letter.message == message
    assert "\0" not in letter.type


@pytest.mark.parametrize(
    ("reason", "said"), [(404, "404"), (["a"], "['a']"), ("a\0b", "a\\0b"), ("x" * 500, "x" * 100)]
)
def test_ledger_takes_any_reason(reason: Any, said: str) -> None:
    """A reason that is no text, or too much of it, is no reason to end the run."""
    ledger = a_ledger()
    finish(ledger, skipped(reason))
    assert ledger.tally.skipped == {said: 1}


def test_ledger_groups_errors_and_tells_of_powers_of_ten() -> None:
    """Errors that differ in their numbers are one group, told at 1, 10, 100 … of them."""
    told: list[ErrorGroup] = []
    ledger = a_ledger(told)
    for number in range(1_234):
        finish(ledger, failed(f"order {number} is broken", "Broken"), number)
    assert [group.count for group in told] == [1, 10, 100, 1_000]
    [group] = ledger.groups()
    assert (group.count, group.sample_key, group.message) == (1_234, "0", "order 0 is broken")


def test_ledger_bounds_its_groups() -> None:
    """However different the errors, and their types, there are some hundred groups, and none is lost."""
    ledger = a_ledger()
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [a + b + c for a in letters for b in letters for c in "abc"]
    for word in words:
        finish(ledger, failed(word, f"Type{word}"))
    finish(ledger, failed("zz", "Last"))
    assert len(ledger.groups()) <= 401
    assert sum(group.count for group in ledger.groups()) == len(words) + 1
    assert ledger.groups()[0].fingerprint == "other errors"


class Savepoints:
    """A connection that only knows savepoints: what was written in one that broke is gone."""

    def __init__(self) -> None:
        self.written: list[int] = []

    @asynccontextmanager
    async def transaction(self) -> Any:
        """Keep or forget what was written."""
        before = list(self.written)
        try:
            yield
        except Exception:
            self.written = before
            raise

    async def execute(self, statement: str) -> None:
        """Check nothing: it knows no constraints."""


def a_letter(refused: Result, error: Exception) -> DeadLetter:
    """Make the letter of a refused result."""
    return a_ledger().refusal((refused.record["id"],), error)


@given(st.integers(0, 40), st.sets(st.integers(0, 39)), st.sets(st.integers(0, 39)))
async def test_writing_finds_who_is_refused(count: int, poison: set[int], changed: set[int]) -> None:
    """With care, every result that can be written is, once, and each of the others gets its letter."""

    async def write(results: Sequence[Result], connection: Savepoints) -> list[Row]:
        for item in results:
            connection.written.append(item.record["id"])
            if item.record["id"] in poison:
                raise ValueError("too long")
        return [item.record for item in results if item.record["id"] not in changed]

    connection, results = Savepoints(), [result(number) for number in range(count)]
    wrote = await Writer(write, a_letter, lambda error: True)(results, connection, True)
    refused, ids = [letter.key[0] for letter in wrote.refused], set(range(count))
    assert refused == sorted(ids & poison)
    assert connection.written == sorted(ids - poison)
    assert wrote.changed == len((ids - poison) & changed)


async def test_writing_lets_other_errors_through() -> None:
    """What is not one result's own fault is not looked for."""

    async def write(results: Sequence[Result], connection: Any) -> None:
        raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        await Writer(write, a_letter, lambda error: False)([result(1)], Savepoints(), True)


@pytest.mark.parametrize("answer", ["UPDATE 2", [1, 2, 3]])
async def test_writing_refuses_an_answer_that_would_count_wrong(answer: Any) -> None:
    """A command's status or more rows than results would be booked as something that never happened."""

    async def write(results: Sequence[Result], connection: Any) -> Any:
        return answer

    with pytest.raises(TypeError, match="it must return the rows that it wrote"):
        await Writer(write, a_letter, lambda error: False)([result(1), result(2)], None, False)


async def test_writing_without_write_or_results_does_nothing() -> None:
    """A job without `write` and a page without results cost no statement; no answer means all was written."""

    async def write(results: Sequence[Result], connection: Any) -> None:
        assert results

    assert await Writer(None, a_letter, lambda error: False)([result(1)], None, False) == Wrote()
    writer = Writer(write, a_letter, lambda error: False)
    assert await writer([], None, False) == Wrote()
    assert await writer([result(1)], None, False) == Wrote()


def test_outcomes_share_what_is_empty() -> None:
    """Finishing without a value makes no object a record."""
    assert done() is done()
    assert done(0) == Done(0)
