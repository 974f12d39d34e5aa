"""Pages of runs and of dead letters: what a query asks for, and the tokens that say where the next page begins."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request

from worker.admin.asked import unknown
from worker.admin.problems import Problem
from worker.runs import PENDING, RUNNING, Place
from worker.verdict import Verdict

STATUSES = (PENDING, RUNNING, *(verdict.word for verdict in Verdict))
MOST, USUAL = 200, 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLACE = re.compile(r"([0-9]{1,16})\.([a-z0-9_-]+:[A-Za-z0-9._:+~-]{1,128})")
_LETTER = msgspec.json.Decoder(list[str | int | float | bool | None])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A page of runs that is asked for."""

    job: str | None
    status: str | None
    before: Place | None
    limit: int


def wanted(request: Request, jobs: Sequence[str]) -> Wanted:
    """Read which runs are asked for. Raises Problem naming all that is wrong with the query."""
    query, faults = _query(request, ("job", "status", "before", "limit"))
    job, status = query.get("job"), query.get("status")
    if job is not None and job not in jobs:
        faults.append(f"job={job[:100]!r}: there are {', '.join(jobs)}")
    if status is not None and status not in STATUSES:
        faults.append(f"status={status[:100]!r}: there are {', '.join(STATUSES)}")
    before, limit = _place(query.get("before"), faults), _limit(query.get("limit"), faults)
    _refuse(faults)
    return Wanted(job=job, status=status, before=before, limit=limit)


def behind(request: Request) -> tuple[list[Any] | None, int]:
    """Read which dead letters are asked for: those behind a key, and how many. Raises Problem."""
    query, faults = _query(request, ("after", "limit"))
    after, limit = _key(query.get("after"), faults), _limit(query.get("limit"), faults)
    _refuse(faults)
    return after, limit


def place_token(place: Place | None) -> str | None:
    """Say a place in one word."""
    if place is None:
        return None
    return f"{(place.created_at - _EPOCH) // timedelta(microseconds=1)}.{place.run_id}"


def key_token(key: Sequence[Any]) -> str:
    """Say a key in one word."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _query(request: Request, known: Sequence[str]) -> tuple[Mapping[str, str], list[str]]:
    query = request.query_params
    faults = unknown(query, list(known))
    return query, faults + [f"{name} is said twice" for name in known if len(query.getlist(name)) > 1]


def _limit(text: str | None, faults: list[str]) -> int:
    if text is None:
        return USUAL
    if re.fullmatch(r"[0-9]{1,6}", text) and 1 <= int(text) <= MOST:
        return int(text)
    faults.append(f"limit={text[:100]!r} is not a whole number of 1 to {MOST}")
    return USUAL


def _place(text: str | None, faults: list[str]) -> Place | None:
    if text is None:
        return None
    if match := _PLACE.fullmatch(text):
        return Place(_EPOCH + timedelta(microseconds=int(match[1])), match[2])
    faults.append(f"before={text[:100]!r} is not what `next` of another page said")
    return None


def _key(text: str | None, faults: list[str]) -> list[Any] | None:
    if text is None:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        return _LETTER.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, msgspec.DecodeError, RecursionError):
        faults.append(f"after={text[:100]!r} is not what `next` of another page said")
        return None


def _refuse(faults: list[str]) -> None:
    if faults:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "the query asks for what is not there", errors=faults)
