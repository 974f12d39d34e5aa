"""worker/schedule.py, worker/cron.py: when EventBridge would start a job, and did."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import Cron, Every

MINUTE = timedelta(minutes=1)
WINDOW = timedelta(days=2)


def at(text: str) -> datetime:
    """Read a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def numbers(low: int, high: int) -> st.SearchStrategy[tuple[str, frozenset[int]]]:
    """Give a field as it is written, and the numbers it means."""
    some = st.integers(low, high)
    every = frozenset(range(low, high + 1))
    parts = st.one_of(
        some.map(lambda one: (str(one), frozenset({one}))),
        st.tuples(some, some).map(
            lambda ends: (f"{min(ends)}-{max(ends)}", frozenset(range(min(ends), max(ends) + 1)))
        ),
        st.tuples(some, st.integers(1, 30)).map(
            lambda step: (f"{step[0]}/{step[1]}", frozenset(range(step[0], high + 1, step[1])))
        ),
    )
    lists = st.lists(parts, min_size=1, max_size=3).map(
        lambda some: (",".join(text for text, _ in some), frozenset().union(*(numbers for _, numbers in some)))
    )
    return st.one_of(st.just(("*", every)), lists)


STARTS = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(["2026-03-29T00:59", "2026-10-25T00:30", "2024-02-28T22:00", "2026-12-31T20:00"]).map(at),
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])


@given(numbers(0, 59), numbers(0, 23), numbers(1, 31), numbers(1, 12), numbers(1, 7), st.booleans(), STARTS, ZONES)
def test_cron_fires_at_every_minute_whose_fields_match_and_at_no_other(
    minute: tuple[str, frozenset[int]],
    hour: tuple[str, frozenset[int]],
    day: tuple[str, frozenset[int]],
    month: tuple[str, frozenset[int]],
    weekday: tuple[str, frozenset[int]],
    by_week: bool,
    start: datetime,
    zone: str,
) -> None:
    """Minute by minute over two days, each local minute once: the next and the last are the first that match, `shortest` apart or more."""
    days = f"? {month[0]} {weekday[0]}" if by_week else f"{day[0]} {month[0]} ?"
    schedule, local_zone = Cron(f"{minute[0]} {hour[0]} {days} *", zone), ZoneInfo(zone)

    def fires(when: datetime) -> bool:
        local = when.astimezone(local_zone)
        of_day = local.isoweekday() % 7 + 1 in weekday[1] if by_week else local.day in day[1]
        return (
            local.minute in minute[1]
            and local.hour in hour[1]
            and of_day
            and local.month in month[1]
            and not local.fold
        )

    def near(step: timedelta) -> datetime | None:
        return next(
            (when for when in (whole + step * count for count in range(1, WINDOW // MINUTE)) if fires(when)), None
        )

    whole = start.replace(second=0, microsecond=0)
    for found, expected in (
        (schedule.following(whole), near(MINUTE)),
        (schedule.previous(whole), near(-MINUTE)),
    ):
        assert found == expected or (not expected and (not found or abs(found - whole) >= WINDOW))
    first = schedule.following(whole)
    if first and (second := schedule.following(first)):
        assert second - first >= schedule.shortest - timedelta(hours=1)  # spring takes one at most


def test_cron_gives_the_times_of_the_documentation() -> None:
    """The examples of EventBridge's documentation, and what its wildcards mean."""
    told = {
        "15 12 * * ? *": "2026-11-24T12:15",
        "0 18 ? * MON-FRI *": "2026-11-24T18:00",
        "0 8 1 * ? *": "2026-12-01T08:00",
        "0/15 * * * ? *": "2026-11-24T10:15",
        "0/5 8-17 ? * MON-FRI *": "2026-11-24T10:05",
        "15 10 ? * 6L 2026-2027": "2026-11-27T10:15",
        "0 9 ? * 2#1 *": "2026-12-07T09:00",
        "0 9 ? * TUE#4 *": "2026-12-22T09:00",
        "0 0 L * ? *": "2026-11-30T00:00",
        "0 0 L-2 * ? *": "2026-11-28T00:00",
        "0 0 LW * ? *": "2026-11-30T00:00",
        "0 0 1W 8 ? *": "2027-08-02T00:00",
        "0 0 15W 8 ? *": "2027-08-16T00:00",
        "0 0 31W 5 ? *": "2027-05-31T00:00",
        "0 0 28W * ? *": "2026-11-27T00:00",
        "0 0 29 2 ? *": "2028-02-29T00:00",
        "0 0 ? * L *": "2026-11-28T00:00",
        "0 0 ? * FRI-MON *": "2026-11-27T00:00",
        "0 22-2/2 ? JAN,MAR TUE *": "2027-01-05T00:00",
        "30 1 1 1 ? 2199": "2199-01-01T01:30",
    }
    after = at("2026-11-24T10:00")
    assert {text: Cron(text).following(after) for text in told} == {text: at(when) for text, when in told.items()}


def test_cron_skips_what_spring_skips_and_runs_once_what_autumn_repeats() -> None:
    """As EventBridge Scheduler does: half past two does not exist on the one night, and comes first on the other."""
    nightly = Cron("30 2 * * ? *", zone="Europe/Berlin")
    assert nightly.following(at("2026-03-28T12:00")) == at("2026-03-30T00:30")
    assert nightly.previous(at("2026-03-29T12:00")) == at("2026-03-28T01:30")
    assert nightly.following(at("2026-10-24T12:00")) == at("2026-10-25T00:30")
    assert nightly.following(at("2026-10-25T00:30")) == at("2026-10-26T01:30")


def test_cron_that_is_over_or_never_comes_has_no_next() -> None:
    """A year that has passed, and a thirtieth of February."""
    assert Cron("0 0 1 1 ? 2020").following(at("2026-11-24T10:00")) is None
    assert Cron("0 0 1 1 ? 2020").previous(at("2026-11-24T10:00")) == at("2020-01-01T00:00")
    assert Cron("0 0 1 1 ? 2030").previous(at("2026-11-24T10:00")) is None
    assert Cron("0 0 30 2 ? *").following(at("2026-11-24T10:00")) is None


@pytest.mark.parametrize(
    ("expression", "shortest"),
    [
        ("* * * * ? *", MINUTE),
        ("0/15 * * * ? *", 15 * MINUTE),
        ("0 3 * * ? *", timedelta(days=1)),
        ("0 23,1 * * ? *", timedelta(hours=2)),
        ("0 3 ? * MON *", timedelta(days=7)),
        ("0 3 1 * ? *", timedelta(days=28)),
        ("0 3 1 1 ? 2026", timedelta.max),
    ],
)
def test_cron_knows_its_shortest_interval(expression: str, shortest: timedelta) -> None:
    """Within a day, over midnight, over the shortest month."""
    assert Cron(expression).shortest == shortest


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 3 * * *", "six fields"),
        ("0 3 * * * *", "one of day-of-month and day-of-week is ?"),
        ("0 3 ? * ? *", "one of day-of-month and day-of-week is ?"),
        ("60 3 * * ? *", "minutes: '60' is not between 0 and 59, in '60 3"),
        ("0 24 * * ? *", "hours: '24'"),
        ("0 3 0 * ? *", "day-of-month: '0'"),
        ("0 3 * 13 ? *", "month: '13'"),
        ("0 3 ? * MONDAY *", "day-of-week: 'MONDAY'"),
        ("0 3 ? * 3#6 *", "day-of-week, after #: '6'"),
        ("0 3 * * ? 1969", "year: '1969'"),
        ("0/0 3 * * ? *", "minutes: '0/0' steps by no"),
        ("0/x 3 * * ? *", "minutes: '0/X' steps by no"),
        ("0 3 W * ? *", "day-of-month: ''"),
        ("0 3 Lx * ? *", "day-of-month: 'X'"),
        (", 3 * * ? *", "minutes: ''"),
    ],
)
def test_cron_that_eventbridge_would_refuse_is_refused_when_it_is_written(expression: str, said: str) -> None:
    """A fault names the field, what it is, and the whole expression."""
    with pytest.raises(ValueError, match=said.replace("?", "[?]")):
        Cron(expression)


def test_cron_refuses_a_zone_that_is_none_and_a_time_without_one() -> None:
    """Neither is guessed."""
    with pytest.raises(ValueError, match="no time zone 'Europe/Berlim'"):
        Cron("0 3 * * ? *", zone="Europe/Berlim")
    with pytest.raises(ValueError, match="says no time zone"):
        Cron("0 3 * * ? *").following(datetime(2026, 11, 24))


def test_every_says_the_latest_its_runs_can_be() -> None:
    """When the interval began is EventBridge's secret: within any interval there is one start."""
    every, now = Every(minutes=5), at("2026-11-24T10:02")
    assert (every.previous(now), every.following(now)) == (at("2026-11-24T09:57"), at("2026-11-24T10:07"))
    assert (every.shortest, Every(hours=2).shortest) == (timedelta(minutes=5), timedelta(hours=2))
