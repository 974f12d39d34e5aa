"""Group errors that are the same but for the names and numbers in them."""

import re

_VARIABLE = re.compile(
    r"0x[0-9a-f]+"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|'[^']{0,200}'|\"[^\"]{0,200}\""
    r"|\b[A-Za-z]{1,8}_[A-Za-z0-9_]*\d[A-Za-z0-9_]*\b"  # pi_3Nk2…, req_9x…
    r"|\d+(?:\.\d+)?",
    re.IGNORECASE,
)
_LONGEST = 200


def fingerprint(type_name: str, message: str) -> str:
    """Give the group of an error: its type and the shape of its message's first line."""
    first = message.strip().partition("\n")[0][: 4 * _LONGEST]
    return f"{type_name}: {_VARIABLE.sub('…', first)}"[:_LONGEST]
