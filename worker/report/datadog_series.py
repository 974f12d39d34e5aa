"""Tell Datadog a count over HTTP (`POST /api/v2/series`): from a Lambda function, beside which no agent runs.

The API rather than the Datadog extension's DogStatsD: it needs no layer, and its answer says whether the point was taken.
"""

import asyncio
import json
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any
from zlib import crc32

from worker.environment import Settings
from worker.report.metrics import Metric

_COUNT = 1
_SPREAD_S = 60
_OLDEST, _NEWEST = timedelta(minutes=50), timedelta(minutes=5)
"""Datadog takes points of the last hour, and a few minutes ahead."""


def point(metric: Metric, tags: Mapping[str, str], name: str, at: datetime) -> dict[str, Any]:
    """Give a count of one as the API takes it; `name` is what is counted, such as a task's ARN.

    Of two points with the same tags in the same second Datadog keeps one. So a second of the last minute is chosen by the name:
    the same news twice is counted once, and the shards of a run that end together are not taken for one.
    """
    now = datetime.now(UTC)
    if not now - _OLDEST < at < now + _NEWEST:
        at = now.replace(minute=now.minute // 10 * 10, second=0)  # the same for whoever says it again soon
    at -= timedelta(seconds=crc32(name.encode()) % _SPREAD_S)
    return {
        "metric": metric.name,
        "type": _COUNT,
        "points": [{"timestamp": int(at.timestamp()), "value": 1}],
        "tags": [f"{tag}:{value}" for tag, value in tags.items() if value],
        "unit": metric.unit,
    }


async def submit(found: Settings, series: list[dict[str, Any]], timeout_s: float = 5.0) -> None:
    """Send points; nothing where there is no DD_API_KEY. Raises OSError: it cannot be reached, or refuses."""
    if found.dd_api_key is None:
        return
    url = f"{found.dd_api_url or f'https://api.{found.dd_site}'}/api/v2/series"
    headers = {"Content-Type": "application/json", "DD-API-KEY": found.dd_api_key}
    body = json.dumps({"series": series}).encode()
    request = urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - settings.py takes http(s) alone
    await asyncio.to_thread(_send, request, timeout_s)


def _send(request: urllib.request.Request, timeout_s: float) -> None:
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - as above
            answer.read()
    except HTTPException as error:
        raise OSError(f"no answer that is one of HTTP: {error!r}") from error
