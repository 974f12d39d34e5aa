"""What becomes of a payment: from seed and reference alone."""

import typing
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.clients.stripe import PaymentIntent
from worker.local.fate import failing_tries, fate

REFS = [f"pi_{number}" for number in range(20_000)]
STATUSES = {
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "canceled",
    "succeeded",
}


@given(seed=st.integers(-(2**63), 2**63), ref=st.text())
def test_fate_is_the_same_for_the_same_seed_and_reference(seed: int, ref: str) -> None:
    """Nothing but seed and reference decides, whatever text the reference is."""
    known = fate(seed, ref)
    assert known == fate(seed, ref)
    assert known.status in {*STATUSES, None}
    assert 0 < known.trouble <= 1


def test_fate_spreads_payments_over_all_statuses() -> None:
    """Most succeeded, some stay processing, a few are unknown to the provider, and every status occurs."""
    shares = {status: count / len(REFS) for status, count in Counter(fate(7, ref).status for ref in REFS).items()}
    assert shares.keys() == {*STATUSES, None}
    assert shares[None] == pytest.approx(0.002, abs=0.001)
    assert shares["processing"] == pytest.approx(0.15, abs=0.01)
    assert shares["succeeded"] > 0.7


def test_fate_changes_with_the_seed() -> None:
    """Another seed is another world."""
    assert [fate(1, ref) for ref in REFS[:50]] != [fate(2, ref) for ref in REFS[:50]]


def test_fate_knows_the_statuses_that_the_client_knows() -> None:
    """Simulator and client mean the same seven statuses."""
    assert set(typing.get_args(typing.get_type_hints(PaymentIntent)["status"])) == STATUSES


@pytest.mark.parametrize("fail", [0.02, 0.3])
def test_fate_lets_the_asked_share_of_tries_fail(fail: float) -> None:
    """The share holds for first tries and, of those that failed, for second ones."""
    failing = [failing_tries(fate(7, ref).trouble, fail) for ref in REFS]
    first = sum(tries >= 1 for tries in failing)
    second = sum(tries >= 2 for tries in failing)
    assert first / len(REFS) == pytest.approx(fail, rel=0.15)
    assert second / first == pytest.approx(fail, rel=0.5)


@given(trouble=st.floats(2**-64, 1.0), fail=st.floats(0.001, 0.9))
def test_fate_lets_every_payment_succeed_on_a_retry(trouble: float, fail: float) -> None:
    """However much trouble a reference has, its failing tries are few."""
    assert 0 <= failing_tries(trouble, fail) <= 64 / 0.15


@pytest.mark.parametrize(("fail", "tries"), [(0.0, 0), (1.0, float("inf"))])
def test_fate_lets_no_try_or_every_try_fail(fail: float, tries: float) -> None:
    """A share of 0 fails nothing, a share of 1 fails for ever."""
    assert {failing_tries(fate(7, ref).trouble, fail) for ref in REFS[:100]} == {tries}
