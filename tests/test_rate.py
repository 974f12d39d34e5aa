"""The rate limit at work."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from fakes import now, virtually
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.limits import Rate
from worker.rate import RateLimit

RATES = st.builds(Rate, st.integers(1, 40), st.sampled_from([0.05, 0.5, 1.0, 3.0, 60.0]))
ARRIVALS = st.lists(
    st.tuples(
        st.integers(1, 60),  # how many ask at once
        st.floats(0, 3),  # how long nobody does after that, in windows
        st.lists(st.integers(0, 59), max_size=10),  # who of them gives up
        st.one_of(st.none(), st.floats(0, 3)),  # a pause, in windows
        st.floats(0, 0.2),  # for how long each of them holds up all, and itself, once it has its permit, in windows
    ),
    min_size=1,
    max_size=8,
)
Arrivals = list[tuple[int, float, list[int], float | None, float]]


def most_in_a_window(grants: list[float], per: float) -> int:
    """Count the grants in the fullest half-open window."""
    most = first = 0
    for last, moment in enumerate(grants):
        while grants[first] <= moment - per:
            first += 1
        most = max(most, last - first + 1)
    return most


class Late:
    """A clock that somebody held up: what runs after that finds that it is late."""

    def __init__(self) -> None:
        self.by = 0.0

    def __call__(self) -> float:
        """Give the loop's time, and how late it is."""
        return now() + self.by


async def ask(limit: RateLimit, name: int, granted: list[tuple[int, float]], clock: Callable[[], float] = now) -> None:
    await limit.acquire()
    granted.append((name, clock()))


async def saturate(limit: RateLimit, count: int) -> list[float]:
    granted: list[tuple[int, float]] = []
    await asyncio.gather(*(ask(limit, name, granted) for name in range(count)))
    return [at for _, at in granted]


@settings(deadline=None)  # a busy machine is no failure
@given(rate=RATES, arrivals=ARRIVALS)
def test_rate_holds_in_every_window(rate: Rate, arrivals: Arrivals) -> None:
    """Whoever asks, gives up, pauses or is held up: no window holds more than the count, in order of asking, nobody is forgotten."""

    async def scenario() -> None:
        clock = Late()
        limit = RateLimit(rate, clock)
        granted: list[tuple[int, float]] = []
        asking: list[asyncio.Task[None]] = []
        pauses: list[tuple[float, float]] = []

        async def hold_up(name: int, windows: float) -> None:
            await limit.acquire()
            clock.by += windows * rate.per
            granted.append((name, clock()))

        for count, idle, leaving, pause, held_up in arrivals:
            asked = [asyncio.create_task(hold_up(len(asking) + place, held_up)) for place in range(count)]
            asking += asked
            await asyncio.sleep(0)
            for place in leaving:
                asked[place % count].cancel()
            if pause is not None:
                pauses.append((clock(), clock() + pause * rate.per))
                limit.pause(pause * rate.per)
            await asyncio.sleep(idle * rate.per)
        ends = await asyncio.gather(*asking, return_exceptions=True)
        names, moments = [name for name, _ in granted], [at for _, at in granted]
        assert most_in_a_window(moments, rate.per) <= rate.count
        assert names == sorted(names)
        assert names == [name for name, end in enumerate(ends) if end is None]
        assert not [at for at in moments for since, until in pauses if since < at < until - 1e-6]

    virtually(scenario())


@given(
    rate=RATES,
    steps=st.lists(st.tuples(st.floats(0, 1.5), st.integers(1, 60), st.floats(0, 0.01)), min_size=1, max_size=20),
)
def test_rate_holds_for_who_uses_what_was_lent(rate: Rate, steps: list[tuple[float, int, float]]) -> None:
    """As the engine does: what was lent is used without a look at the clock, however much later, or given back."""
    time, lent = 0.0, 0
    taken: list[float] = []

    def give_back() -> int:
        nonlocal lent
        left, lent = lent, 0
        return left

    async def scenario() -> None:
        nonlocal time, lent
        limit = RateLimit(rate, lambda: time)
        limit.take_back = give_back
        for idle, wanted, between in steps:
            time += idle * rate.per
            for _ in range(wanted):
                lent = lent or limit.lend(7)
                if lent:
                    lent -= 1
                elif not limit.try_acquire():
                    break
                time += between * rate.per
                taken.append(time)
            await asyncio.sleep(0)

    virtually(scenario())
    assert most_in_a_window(taken, rate.per) <= rate.count


@settings(deadline=None)  # a busy machine is no failure
@given(rate=RATES, idle=st.floats(0, 5))
def test_rate_is_used_up_when_saturated(rate: Rate, idle: float) -> None:
    """While somebody always waits, 99 of 100 permits are given, after idling too."""

    async def scenario() -> None:
        limit = RateLimit(rate, now)
        await saturate(limit, rate.count)
        await asyncio.sleep(idle * rate.per)
        began = now()
        moments = await saturate(limit, 8 * rate.count)
        assert len(moments) - 1 >= 0.99 * (moments[-1] - began - rate.per / rate.count) / rate.per * rate.count - 1

    virtually(scenario())


@pytest.mark.looptime
async def test_rate_spaces_evenly_and_has_no_start_burst() -> None:
    """At 100 a second no tenth of a second sees much more than ten calls, the first one neither."""
    moments = await saturate(RateLimit(Rate(100), now), 500)
    assert most_in_a_window(moments, 0.1) <= 16


@pytest.mark.looptime
async def test_rate_does_not_make_up_for_what_nobody_wanted() -> None:
    """Neither at the start nor after idling does it hurry; it would be through early, and stand still before each window's end."""
    limit = RateLimit(Rate(1000), now)
    for _ in range(2):
        moments = await saturate(limit, 2_500)
        assert most_in_a_window(moments, 0.1) <= 105
        assert max(after - before for before, after in pairwise(moments)) < 0.004
        await asyncio.sleep(5)


@pytest.mark.looptime
async def test_rate_makes_up_for_being_late() -> None:
    """A loop that was busy for a moment costs no permits, and they come without a clump; one that hung does not burst."""
    clock = Late()
    limit, granted = RateLimit(Rate(1000), clock), list[tuple[int, float]]()
    asking = [asyncio.create_task(ask(limit, name, granted, clock)) for name in range(2_500)]
    await asyncio.sleep(1.5)
    clock.by += 0.04
    since = clock()
    await asyncio.sleep(0.4)
    moments = [at for _, at in granted if at > since]
    assert most_in_a_window(moments, 0.01) <= 1.25 * 10 + 3
    assert len(moments) == pytest.approx(0.44 * 994, rel=0.02)
    clock.by += 10
    await asyncio.sleep(0.1)
    late = [at for _, at in granted if at > since + 5]
    assert len(late) < 1.25 * 100 + 3
    await asyncio.gather(*asking)


@pytest.mark.looptime
async def test_rate_counts_overlapping_pauses_once() -> None:
    """Pauses that overlap hold everybody until the last one's end and are added up once."""
    limit = RateLimit(None, now)
    limit.pause(10)
    waiting = asyncio.create_task(saturate(limit, 3))
    await asyncio.sleep(4)
    limit.pause(1)
    assert limit.throttled_s == 10
    limit.pause(20)
    assert limit.throttled_s == 24
    assert limit.paused
    assert await waiting == pytest.approx([24, 24, 24], abs=0.001)
    assert not limit.paused
    limit.pause(5)
    assert limit.throttled_s == 29


@pytest.mark.looptime
async def test_rate_lets_nobody_overtake() -> None:
    """Who asks without waiting gets nothing while somebody waits, even when a permit is due."""
    limit = RateLimit(Rate(1), lambda: now() + late)
    late = 0.0
    await limit.acquire()
    waiting = asyncio.create_task(limit.acquire())
    await asyncio.sleep(0)
    late = 10.0
    assert not limit.try_acquire()
    await waiting


@pytest.mark.looptime
async def test_rate_wakes_only_when_a_permit_is_due() -> None:
    """Hundreds of waiters cost one timer a grant, not a busy loop."""
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return now()

    limit = RateLimit(Rate(10), clock)
    await saturate(limit, 300)
    assert looks < 4 * 300 + 10


@pytest.mark.looptime
async def test_rate_goes_on_after_everybody_left() -> None:
    """Waiters that all gave up leave nothing behind that would hold up the next."""
    limit = RateLimit(Rate(2), now)
    await saturate(limit, 2)
    leaving = [asyncio.create_task(limit.acquire()) for _ in range(5)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    await asyncio.sleep(10)
    assert limit.try_acquire()
    assert [b - a >= 0 for a, b in pairwise(await saturate(limit, 4))] == [True] * 3


def test_rate_says_how_long_a_permit_would_take() -> None:
    """The next moment that is due, and an interval more for each who waits; idle is who remembers nothing."""

    async def ask_around() -> None:
        limit = RateLimit(Rate(10), now)
        assert (limit.wait_s, limit.idle) == (0, True)
        await limit.acquire()
        assert limit.wait_s == pytest.approx(0.0977, rel=0.01), "an interval, less what is made up for"
        waiting = [asyncio.create_task(limit.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        assert limit.wait_s == pytest.approx(0.0977 + 3 * 0.10075, rel=0.01)
        await asyncio.gather(*waiting)
        await asyncio.sleep(0.9)
        assert not limit.idle, "its window is not over"
        await asyncio.sleep(0.2)
        assert limit.idle
        limit.pause(5)
        assert (limit.wait_s, limit.idle) == (pytest.approx(5), False)

    virtually(ask_around())


@pytest.mark.looptime
async def test_rate_lets_go_of_what_is_left_of_a_portion_that_is_over() -> None:
    """What fell due of a portion and was not taken is somebody else's after its end, lent or not; with a new one it goes on."""
    limit = RateLimit(Rate(10_000, name="api", shared=True), now)
    limit.hold(5_000, (), until=now() + 1)
    await asyncio.sleep(0.5)
    await limit.acquire()
    assert limit.lend(2) == 2
    await asyncio.sleep(0.49)
    assert limit.try_acquire()
    await asyncio.sleep(0.01)
    limit.give_back(1)
    assert not limit.lend(1)
    assert not limit.try_acquire()
    assert limit.taken == 3
    limit.hold(5_000, (), until=now() + 1)
    await asyncio.sleep(0.01)
    assert limit.try_acquire()
