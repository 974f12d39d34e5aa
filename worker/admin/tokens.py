"""Bearer tokens: made once, configured by their hash, compared in constant time."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from worker.errors import Faults

HOW_TO = "make one with `python -m worker token new --name qa` and set ADMIN_TOKEN_HASHES to the line it prints"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Made(NamedTuple):
    """A new token: the text its owner keeps, and the entry that ADMIN_TOKEN_HASHES gets."""

    token: str
    entry: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is let in: its owner's name and the SHA-256 of its text."""

    name: str
    digest: str


class Tokens:
    """Say whose token a request presents."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(tokens)

    def verify(self, presented: str) -> Token | None:
        """Find the token with this text; takes equally long wherever, and whether, it is found."""
        digest = _digest(presented)
        # Not a generator with `next`: that would stop at the first match.
        matches = [token for token in self._tokens if hmac.compare_digest(token.digest, digest)]
        return matches[0] if matches else None


def make(name: str) -> Made:
    """Make a token for this name; nothing but its owner ever holds its text again."""
    if not _NAME.fullmatch(name):
        raise Faults([_name_fault(name)])
    token = f"admin_{secrets.token_urlsafe(32)}"
    return Made(token, f"{name}={_digest(token)}")


def parse(text: str | None) -> Tokens:
    """Read ADMIN_TOKEN_HASHES: `name=sha256` entries, comma-separated. Raises Faults naming every wrong one.

    What may follow a hash after a `;` is kept for rights and expiry: refused until it is understood.
    """
    entries = [entry.strip() for entry in (text or "").split(",") if entry.strip()]
    if not entries:
        raise Faults([f"ADMIN_TOKEN_HASHES is not set, and nothing is served without a token: {HOW_TO}"])
    tokens = [Token(name, digest) for name, _, digest in (entry.partition("=") for entry in entries)]
    faults = [fault for position, token in enumerate(tokens, 1) for fault in _faults(position, token)]
    for field in ("name", "digest"):
        values = [getattr(token, field) for token in tokens]
        if len(set(values)) < len(values):
            faults.append(
                f"ADMIN_TOKEN_HASHES has two entries of one {field}: each token has a name and a hash of its own"
            )
    if faults:
        raise Faults(faults)
    return Tokens(tokens)


def _faults(position: int, token: Token) -> list[str]:
    """Name what is wrong with an entry by its place alone: somebody may have put the token itself there."""
    where = f"ADMIN_TOKEN_HASHES entry {position}"
    faults = [] if _NAME.fullmatch(token.name) else [f"{where}: the name is not 1 to 40 letters, digits, _ and -"]
    if not _DIGEST.fullmatch(token.digest):
        hint = "what follows ; is not understood" if ";" in token.digest else HOW_TO
        faults.append(f"{where} is not name=sha256 with 64 hexadecimal digits (its value is not shown): {hint}")
    return faults


def _name_fault(name: str) -> str:
    return f"a token's name is 1 to 40 letters, digits, _ and -, beginning with a letter or digit, not {name!r}"


def _digest(token: str) -> str:
    # Unsalted and fast on purpose: 256 random bits cannot be guessed from their hash.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
