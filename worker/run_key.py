"""The run key: what names a run, checked and made up in one place for all front doors."""

import re
import secrets
from datetime import UTC, datetime

from worker.errors import Faults

_ALLOWED = re.compile(r"[A-Za-z0-9._:+~-]{1,128}")


def check(key: str) -> str:
    """Give the key back; raises Faults where it could not stand in a URL, a log line and a shell as it is."""
    if _ALLOWED.fullmatch(key):
        return key
    shown = key if len(key) <= 40 else f"{key[:40]}…"
    raise Faults([f"run key {shown!r} is not 1 to 128 letters, digits and ._:+~- (it has {len(key)} characters)"])


def choose(given: str | None, *, dry_run: bool = False, max_records: int | None = None) -> str:
    """Give a run its key: the given one, or one made up. Raises Faults.

    A dry run or a canary (the first `max_records`) gets one of its own, so that it never uses up the one it was given; a key
    that was made so stays as it is.
    """
    kind = "dry" if dry_run else "canary" if max_records else None
    if given is None:
        return made_up(kind or "hand")
    if kind is None or re.search(rf"(^|~){kind}-\d{{8}}T\d{{6}}Z-[0-9a-f]{{4}}$", given):
        return check(given)
    return check(f"{check(given)}~{made_up(kind)}")


def time_in(key: str) -> datetime | None:
    """Give the time that a key begins with or was made up at, in UTC; None for a key that names none."""
    match = re.match(r"(?:[a-z]+-)?(\d{4}-?\d\d-?\d\d(?:T[\d:]{2,15}(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?)(?![\dT:])", key)
    try:
        found = datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        return None
    return found and (found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC))


def made_up(prefix: str) -> str:
    """Make up a key for a run that nobody named: `hand-20261123T060245Z-7f3a`."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
