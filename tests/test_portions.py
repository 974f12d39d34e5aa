"""The ledger of a shared limit: what becomes of answers that are lost and asks that come late."""

from typing import Any

import pytest

from worker.errors import Permanent, Transient
from worker.portions import LEASE_S, ON_THE_WAY_S, Ask, Grant, Ledger, coarse, settle

NOW = 1_000.0


def asking(holder: str, number: int, **what: Any) -> Ask:
    return Ask(**{"holder": holder, "number": number, "count": 100, "per": 1.0, "portion": 0, "wants": 100, **what})


def settled(*asks: Ask, at: float = NOW, ledger: Ledger | None = None) -> tuple[Ledger, Grant]:
    ledger, grant = settle(ledger or Ledger(), asks[0], at)
    for ask in asks[1:]:
        ledger, grant = settle(ledger, ask, at)
    return ledger, grant


def test_portion_travels_with_what_was_taken_on_it() -> None:
    """Of 100 taken evenly, the 50 that are given back carry 50: who gets them has no call before they are over."""
    given = tuple((age / 50, 1.0) for age in range(50))
    ledger, grant = settled(asking("a", 1), asking("b", 1), asking("a", 2, heard=1, portion=50, given=given))
    assert (grant.portion, ledger.held) == (50, 50)
    _, grant = settle(ledger, asking("b", 2, heard=1), NOW + 0.5)
    assert grant.portion == 50
    assert sum(permits for _, permits in grant.taken) == pytest.approx(50 * (0.5 + ON_THE_WAY_S), abs=2)


def test_portion_whose_answer_was_lost_comes_back_with_what_was_taken_on_it() -> None:
    """Nobody knows that it was given: it is free again, and no freer than before."""
    given = tuple((age / 50, 1.0) for age in range(50))
    ledger, _ = settled(asking("a", 1), asking("b", 1), asking("a", 2, heard=1, portion=50, given=given))
    before = sum(permits for _, permits in ledger.taken)
    ledger, _ = settle(ledger, asking("b", 2, heard=1), NOW)  # given 50; not heard
    ledger, _ = settle(ledger, asking("b", 3, heard=1, wants=0), NOW)
    held = ledger.holders["b"]
    assert sum(permits for _, permits in [*ledger.taken, *held.came]) == before


def test_ask_that_comes_late_is_not_settled() -> None:
    """Its task has heard a later answer, and uses what that gave."""
    ledger, _ = settled(asking("a", 2))
    with pytest.raises(Transient, match="ask 1 of a came after its ask 2"):
        settle(ledger, asking("a", 1), NOW)


def test_portion_of_the_silent_is_taken_for_used_up_to_its_end() -> None:
    """The next window is nobody's."""
    ledger, _ = settled(asking("a", 1))
    ledger, grant = settle(ledger, asking("b", 1), NOW + LEASE_S - 0.1)
    assert grant.portion == 0
    _, grant = settle(ledger, asking("b", 2), NOW + LEASE_S + 0.5)
    assert (grant.portion, sum(permits for _, permits in grant.taken)) == (100, 100)
    _, grant = settle(ledger, asking("b", 2), NOW + LEASE_S + 1.5)
    assert (grant.portion, grant.taken) == (100, ())


def test_limit_in_other_windows_is_refused() -> None:
    """While others are at work; afterwards it begins anew."""
    ledger, _ = settled(asking("a", 1))
    with pytest.raises(Permanent, match="count in windows of 1 s: declare the same limit"):
        settle(ledger, asking("b", 1, per=60.0), NOW)
    ledger, _ = settle(ledger, asking("a", 2, leaving=True), NOW)
    ledger, grant = settle(ledger, asking("b", 1, per=60.0), NOW + 2)
    assert (ledger.per, grant.portion) == (60.0, 100)


def test_clock_of_whole_seconds_errs_to_the_safe_side() -> None:
    """What ends does so by the second's end, what goes on by its beginning."""
    ledger, _ = settle(Ledger(), asking("a", 1), NOW, NOW + 1)
    assert ledger.holders["a"].until == NOW + 1 + LEASE_S
    ledger, _ = settle(ledger, asking("a", 2, leaving=True, given=((0.0, 100.0),)), NOW, NOW + 1)
    assert ledger.taken == [(NOW + 1 + ON_THE_WAY_S, 100.0)]


def test_coarse_makes_what_was_taken_no_older() -> None:
    """Fewer parts, the same sum, each at the latest of its times."""
    assert coarse([(0.5, 2), (0.01, 1), (0.05, 3), (0.52, 1)], 0.1) == [(0.01, 4), (0.5, 3)]
