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


def made_up(prefix: str) -> str:
    """Make up a key for a run that nobody named: `hand-20261123T060245Z-7f3a`."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
