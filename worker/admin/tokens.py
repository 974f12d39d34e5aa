"""Bearer tokens: made once, configured by their hash, with what their holder may do and until when (docs/adr/0010-tokens.md)."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from worker.admin.rights import Rights, rights
from worker.errors import Faults

HOW_TO = (
    "make one with `python -m worker token new --name qa --may read --may start:<job>` "
    "and set ADMIN_TOKEN_HASHES to the line it prints"
)
DAYS = 90
"""A token is good for so long, where nothing else is said."""

_UNSAID = ("read", "start:*")
"""What an entry without rights may do: it was made when there were none, for starting runs and looking at them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = ("may", "expires")


class Made(NamedTuple):
    """A new token: the text its owner keeps, and the entry that ADMIN_TOKEN_HASHES gets."""

    token: str
    entry: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is let in: its owner's name, the SHA-256 of its text, its rights, and the day from which on it is none."""

    name: str
    digest: str
    rights: Rights
    expires: date | None = None

    @property
    def expired(self) -> bool:
        """Tell whether its day has come, in UTC."""
        return self.expires is not None and datetime.now(UTC).date() >= self.expires


class Tokens:
    """Say whose token a request presents."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.all = tuple(tokens)

    def verify(self, presented: str) -> Token | None:
        """Find the token with this text, expired or not; takes equally long wherever, and whether, it is found."""
        digest = _digest(presented)
        # Not a generator with `next`: that would stop at the first match.
        matches = [token for token in self.all if hmac.compare_digest(token.digest, digest)]
        return matches[0] if matches else None


def make(name: str, may: Sequence[str], days: int = DAYS) -> Made:
    """Make a token for this name; nothing but its owner ever holds its text again. Raises Faults."""
    if not _NAME.fullmatch(name):
        raise Faults(
            [f"a token's name is 1 to 40 letters, digits, _ and -, beginning with a letter or digit, not {name!r}"]
        )
    given, token = rights(may), f"admin_{secrets.token_urlsafe(32)}"
    expires = datetime.now(UTC).date() + timedelta(days=days)
    return Made(token, f"{name}={_digest(token)};may={given};expires={expires}")


def parse(text: str | None) -> Tokens:
    """Read ADMIN_TOKEN_HASHES: `name=sha256;may=read+start:<job>;expires=2027-02-22` entries, comma-separated.

    Raises Faults naming every wrong one.
    """
    entries = [entry.strip() for entry in (text or "").split(",") if entry.strip()]
    if not entries:
        raise Faults([f"ADMIN_TOKEN_HASHES is not set, and nothing is served without a token: {HOW_TO}"])
    faults: list[str] = []
    tokens = [token for place, entry in enumerate(entries, 1) if (token := _token(place, entry, faults))]
    for field in ("name", "digest"):
        values = [getattr(token, field) for token in tokens]
        if len(set(values)) < len(values):
            faults.append(
                f"ADMIN_TOKEN_HASHES has two entries of one {field}: each token has a name and a hash of its own"
            )
    if faults:
        raise Faults(faults)
    return Tokens(tokens)


def _token(place: int, entry: str, faults: list[str]) -> Token | None:
    """Read an entry; what is wrong is named by its place alone: somebody may have put the token itself there."""
    found: list[str] = []
    named, *said = entry.split(";")
    name, _, digest = named.partition("=")
    if not _NAME.fullmatch(name):
        found.append("the name is not 1 to 40 letters, digits, _ and -")
    if not _DIGEST.fullmatch(digest):
        found.append(f"it is not name=sha256 with 64 hexadecimal digits (its value is not shown): {HOW_TO}")
    fields = {field: value for field, _, value in (part.partition("=") for part in said)}
    if set(fields) - set(_FIELDS) or len(fields) < len(said):
        found.append("what follows the hash is ;may=… and ;expires=…, each once")
    may, expires = _may(fields, found), _expires(fields, found)
    faults += [f"ADMIN_TOKEN_HASHES entry {place}: {fault}" for fault in found]
    return Token(name, digest, may, expires) if may and not found else None


def _may(fields: dict[str, str], faults: list[str]) -> Rights | None:
    try:
        return rights(fields["may"].split("+") if "may" in fields else _UNSAID)
    except Faults as error:
        faults += error.faults
        return None


def _expires(fields: dict[str, str], faults: list[str]) -> date | None:
    try:
        return date.fromisoformat(fields["expires"]) if "expires" in fields else None
    except ValueError:
        faults.append(f"expires={fields['expires'][:20]!r} is no day such as 2027-02-22")
        return None


def _digest(token: str) -> str:
    # Unsalted and fast on purpose: 256 random bits cannot be guessed from their hash.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
