"""worker/report/datadog_series.py: a count over HTTP, taken by an intake that is strict."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from datadog_server import KEY, intake

from worker.environment import settings
from worker.report.datadog_series import point, submit
from worker.report.metrics import TASK_STOPPED

TAGS = {"job": "poll-payments", "exit_code": "137", "stop_code": ""}


async def test_series_counts_the_same_news_once_and_other_news_beside_it() -> None:
    """Eight shards end in one second with the same tags, and each event comes twice."""
    at = datetime.now(UTC) - timedelta(minutes=2)
    names = [f"arn:{number}" for number in range(8)]
    with intake() as datadog:
        found = settings({"DD_API_KEY": KEY, "DD_API_URL": datadog.url})
        for name in names * 2:
            await submit(found, [point(TASK_STOPPED, TAGS, name, at)])
        assert len(datadog.points) == len(
            {point(TASK_STOPPED, TAGS, name, at)["points"][0]["timestamp"] for name in names}
        )
        assert 6 <= len(datadog.points) <= 8
        assert datadog.tags()[0] == {"job": "poll-payments", "exit_code": "137"}


async def test_series_of_long_ago_is_counted_now() -> None:
    """An event that waited in the dead letters: Datadog takes no point older than an hour."""
    with intake() as datadog:
        found = settings({"DD_API_KEY": KEY, "DD_API_URL": datadog.url})
        await submit(found, [point(TASK_STOPPED, TAGS, "a", datetime.now(UTC) - timedelta(days=2))])
        assert len(datadog.points) == 1


async def test_series_that_is_refused_or_has_no_way_says_so() -> None:
    """The caller decides what that costs; without a key nothing is sent."""
    series = [point(TASK_STOPPED, TAGS, "a", datetime.now(UTC))]
    with intake() as datadog:
        found = settings({"DD_API_KEY": "wrong", "DD_API_URL": datadog.url})
        with pytest.raises(OSError, match="403"):
            await submit(found, series)
        await submit(replace(found, dd_api_key=None), series)
        with pytest.raises(OSError, match="400"):
            await submit(replace(found, dd_api_key=KEY), [{**series[0], "value": 1}])
        assert datadog.points == {}
    with pytest.raises(OSError, match="refused"):
        await submit(found, series)
