"""Judge an HTTP status that is not a success: worth another try, a call for a pause, or final."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

from worker.errors import Permanent, Throttled, Transient, WorkerError

LONGEST_PAUSE_S = 300.0
"""A longer `Retry-After` is cut to this: the call after it finds out whether the other side still means it."""

_TRY_AGAIN = (408, 425)
"""Request Timeout and Too Early: RFC 9110, 15.5.9, and RFC 8470, 5.2."""


def refusal(status: int, message: str, retry_after: str | None, limit: str | None) -> WorkerError:
    """Give the error for a refused call; `limit` names the rate limit that a throttle pauses.

    429, and 503 with `Retry-After`: Throttled. Other 5xx, 408 and 425: Transient. All else is Permanent: redirects too, since
    none is followed, and 409, since what a call conflicts with is seldom gone a second later.
    """
    pause = pause_of(retry_after)
    if status == 429 or (status == 503 and pause is not None):
        return Throttled(message, pause, limit)
    if status >= 500 or status in _TRY_AGAIN:
        return Transient(message)
    return Permanent(message, f"HTTP {status}")


def pause_of(retry_after: str | None, now: datetime | None = None) -> float | None:
    """Read a `Retry-After` header (RFC 9110, 10.2.3: seconds or a date) as seconds from now; None for what is neither."""
    if retry_after is None:
        return None
    pause = _seconds(retry_after)
    if pause is None:
        pause = _seconds_until(retry_after, now or datetime.now(UTC))
    return None if pause is None else min(pause, LONGEST_PAUSE_S)


def _seconds(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) and number >= 0 else None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
