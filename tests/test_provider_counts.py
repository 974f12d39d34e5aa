"""What the simulator counts: exact windows, bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from worker.local.provider_counts import Arrivals, Calls, Window

gaps = st.lists(st.sampled_from([0.0, 0.001, 0.25, 0.5, 1.0, 3.0]), max_size=60)


def moments(steps: list[float]) -> list[float]:
    """Turn the gaps between events into their times."""
    now, times = 100.0, []
    for step in steps:
        now += step
        times.append(now)
    return times


@given(gaps)
def test_counts_find_the_fullest_second(steps: list[float]) -> None:
    """The most of any window of one second is what counting over all pairs gives."""
    arrivals, times = Arrivals(), moments(steps)
    for time in times:
        arrivals.add(time)
    assert arrivals.most_in_a_second == max((sum(end - 1 < time <= end for time in times) for end in times), default=0)
    assert list(arrivals.recent) == times
    assert arrivals.total == len(times)


@given(gaps, st.integers(1, 5))
def test_counts_admit_no_more_than_the_rate(steps: list[float], rate: int) -> None:
    """Whoever comes back after `free_in` is admitted, and no second ever holds more than the rate."""
    window, now = Window(), 100.0
    for step in steps:
        now += step
        pause = window.free_in(now, rate)
        assert 0 <= pause <= 1
        assert pause == 0 or window.free_in(now + pause + 1e-9, rate) == 0
        if pause == 0:
            window.add(now)
    assert window.most <= rate


def test_counts_forget_the_references_asked_longest_ago() -> None:
    """Memory is bounded; what was asked lately is still known."""
    calls = Calls(refs=10)
    for number in range(1_000):
        calls.add(f"pi_{number}")
        calls.add("pi_often")
    assert calls.of("pi_0") == 0
    assert calls.of("pi_999") == 1
    assert calls.of("pi_often") == 1_000
    assert sum(calls.of(f"pi_{number}") for number in range(1_000)) <= 20
