"""Declared limits, retries and error budgets, and what they refuse."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.budget import ErrorBudget, Spending
from worker.errors import Permanent, Throttled, Transient
from worker.limits import Limits, Rate
from worker.retry import Retry
from worker.tally import Tally


def test_limits_say_all_faults_at_once() -> None:
    """Whoever declares nonsense hears of all of it."""
    with pytest.raises(
        ValueError, match=r"concurrency .*; page_size .*; max_age .*; record_timeout .*; two rates"
    ) as told:
        Limits(
            concurrency=0, page_size=0, max_age=0, record_timeout=0, rate=Rate(1), rates=(Rate(2), Rate(3, name="b"))
        )
    assert "'rate'" in str(told.value)


def test_limits_say_what_is_of_another_type() -> None:
    """A job file is not checked before it is loaded: each value is named, with what it must be."""
    wrong: dict[str, Any] = {"concurrency": "8", "rate": 500, "max_age": timedelta(minutes=1), "rates": Rate(5)}
    with pytest.raises(ValueError, match=r"whole number, not '8'; max_age .* seconds.*: Rate\(500\); rates .* tuple"):
        Limits(**wrong)


@pytest.mark.parametrize(("count", "per"), [(0, 1), (1, 0), (-1, 1), (1, -2)])
def test_limits_refuse_a_rate_without_calls(count: int, per: float) -> None:
    """A rate is at least one call in a positive time."""
    with pytest.raises(ValueError, match="at least one call"):
        Rate(count, per)


@pytest.mark.parametrize(("count", "per"), [("5", 1), (2.5, 1), (None, 1), (5, "1"), (5, timedelta(seconds=1))])
def test_limits_refuse_a_rate_of_other_types(count: Any, per: Any) -> None:
    """It says what a rate is, not what Python could not compare."""
    with pytest.raises(
        ValueError, match=r"whole number of calls in a number of seconds, as Rate\(5, per=2\), not Rate"
    ):
        Rate(count, per)


def test_limits_refuse_a_rate_too_slow_for_the_age() -> None:
    """Where a record waits for its permit longer than max_age, nothing could ever be worked on."""
    with pytest.raises(ValueError, match="max_age=30 s is over while a record waits for its turn at 1 in 60 s"):
        Limits(rate=Rate(1, per=60), max_age=30)
    assert Limits(rate=Rate(1, per=60), max_age=120).page == 1


@given(st.integers(1, 1_000), st.floats(0.1, 100), st.integers(1, 5_000), st.floats(0.1, 1_000))
def test_limits_shrink_pages_to_what_the_rate_can_serve(count: int, per: float, size: int, age: float) -> None:
    """Two pages are served before the second one is too old."""
    if count / per * age >= 2:
        page = Limits(rate=Rate(count, per), page_size=size, max_age=age).page
        assert 1 <= page <= size
        assert 2 * page * per / count <= age * 1.000001
    assert Limits(page_size=size, max_age=age).page == Limits(rate=Rate(count, per), page_size=size).page == size


@given(st.floats(0.01, 10_000))
def test_limits_tune_the_rate_by_calls_a_second(rate: float) -> None:
    """WORKER_RATE keeps its mean, and its limit over short windows; its name stays."""
    tuned = Limits(rate=Rate(7, per=3, name="stripe")).tuned(concurrency=None, rate=rate, page_size=None).rate
    assert tuned is not None
    assert tuned.per_second == pytest.approx(rate)
    assert tuned.count == max(1, int(rate))
    assert tuned.name == "stripe"


def test_limits_keep_the_windows_of_a_shared_rate() -> None:
    """Those who share it count in the same; less than a call in one is a fault, not a call."""
    limits = Limits(rate=Rate(90, name="stripe", shared=True))
    assert limits.tuned(concurrency=None, rate=7.9, page_size=None).rate == Rate(7, name="stripe", shared=True)
    with pytest.raises(ValueError, match=r"0.5/s is less than a call in the 1 s in which 'stripe' is shared"):
        limits.tuned(concurrency=None, rate=0.5, page_size=None)


def test_limits_are_tuned_in_part() -> None:
    """What the environment does not name stays; a rate of 0 is none."""
    limits = Limits(concurrency=3, rate=Rate(5), page_size=7, max_age=60, record_timeout=9)
    assert limits.tuned(concurrency=None, rate=None, page_size=None) == limits
    tuned = limits.tuned(concurrency=8, rate=0, page_size=50)
    assert tuned == Limits(concurrency=8, rate=None, page_size=50, max_age=60, record_timeout=9)


def test_limits_show_rates() -> None:
    """A rate reads as people say it."""
    assert [str(Rate(90)), str(Rate(5, per=60)), str(Rate(1, 0.5))] == ["90/s", "5 in 60 s", "1 in 0.5 s"]


@pytest.mark.parametrize(
    ("error", "worth_it"),
    [
        (Transient("x"), True),
        (Throttled("x"), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (LookupError(), True),
        (KeyError(), True),
        (Permanent("x"), False),
        (ValueError(), False),
        (OSError(), False),
    ],
)
def test_retry_knows_what_is_worth_it(error: Exception, worth_it: bool) -> None:
    """Transient, timed out, cut, or named by the job; never what is permanent."""
    assert Retry(on=(LookupError, Permanent)).worth_it(error) is worth_it


@given(st.integers(1, 1_000_000), st.floats(0.001, 10), st.floats(10, 100))
def test_retry_waits_within_its_bounds(tries: int, first: float, longest: float) -> None:
    """However many tries there were, the wait is within the doubled bound and the longest."""
    wait = Retry(attempts=10**7, first=first, longest=longest).delay(tries)
    assert 0 <= wait <= min(longest, first * 2.0 ** min(tries - 1, 60))


def test_retry_spreads_its_waits() -> None:
    """The wait is drawn anew each time, over the whole range: records that failed together do not come back together."""
    waits = [Retry(first=8).delay(1) for _ in range(300)]
    assert min(waits) < 1
    assert max(waits) > 7
    assert len(set(waits)) > 290


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"first": -1.0}, {"first": 30.0}])
def test_retry_refuses_nonsense(wrong: dict[str, float]) -> None:
    """No try at all, or a wait that is negative or above the longest, is refused where it is declared."""
    with pytest.raises(ValueError, match="one try or more"):
        Retry(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"share": 25.0}, "share is a share"),
        ({"tolerated": -0.1}, "tolerated is a share"),
        ({"count": -1}, "count must be"),
        ({"window": 0}, "window=0"),
        ({"window": 20}, "window=20 never holds sample=50"),
        ({"sample": 0}, "sample=0"),
    ],
)
def test_budget_refuses_nonsense(wrong: dict[str, float], words: str) -> None:
    """A budget that could never be spent, or would break the run at its first failure, is refused."""
    with pytest.raises(ValueError, match=words):
        ErrorBudget(**wrong)  # type: ignore[arg-type]


def spent_at(budget: ErrorBudget, outcomes: str, before: Tally | None = None) -> int | None:
    """Give the number of records after which a budget is spent: `x` failed, `.` did not."""
    tally, spending = Tally(), Spending(budget)
    for number, outcome in enumerate(outcomes, 1):
        tally.read += 1
        tally.failed += outcome == "x"
        tally.done += outcome == "."
        if outcome == "x" and spending.failed((before or Tally()).plus(tally), tally):
            return number
    return None


def test_budget_allows_a_count() -> None:
    """The failure after the last one allowed ends the run, over all its attempts."""
    budget = ErrorBudget(count=2, share=None)
    assert spent_at(budget, "x.x.") is None
    assert spent_at(budget, "x.x..x") == 6
    assert spent_at(budget, "..x", Tally(read=9, done=7, failed=2)) == 3
    assert spent_at(ErrorBudget(count=0, share=None), "...x") == 4


def test_budget_allows_a_share_of_the_run() -> None:
    """The share is judged from the sample on, and more than it ends the run."""
    budget = ErrorBudget(share=0.5, sample=10, window=1_000)
    assert spent_at(budget, "x" * 9) is None
    assert spent_at(budget, "x" * 20) == 10
    assert spent_at(budget, ".x" * 500) is None
    assert spent_at(budget, ".x" * 10 + "x") == 21
    assert spent_at(budget, ".x", Tally(read=9, failed=9)) == 2


def test_budget_notices_a_provider_that_dies_in_the_middle() -> None:
    """The recent window ends the run long before the run's share would."""
    budget = ErrorBudget(share=0.5, sample=10, window=20)
    assert spent_at(budget, "." * 10_000 + "x" * 100) == 10_011
    assert spent_at(budget, "." * 1_000 + "xxxxx...............xxxxx..............." * 20) is None


def test_budget_tolerates_a_share_at_the_end() -> None:
    """A whole run succeeds with up to the tolerated share of failures."""
    budget = ErrorBudget(tolerated=0.1)
    assert budget.tolerates(Tally())
    assert budget.tolerates(Tally(read=10, done=9, failed=1))
    assert not budget.tolerates(Tally(read=10, done=8, failed=2))
    assert not ErrorBudget().tolerates(Tally(read=10_000, done=9_999, failed=1))
