"""Texts and JSON as PostgreSQL can hold them: there is no NUL in it."""

import re
from typing import Any

import msgspec

_NO_NUL = "\N{REPLACEMENT CHARACTER}"
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def storable(value: str) -> str:
    """Give a text without NUL."""
    return value.replace("\0", _NO_NUL)


def json(value: Any) -> str:
    """Give a value's JSON without NUL."""
    return _ESCAPED_NUL.sub(rf"\1{_NO_NUL}", msgspec.json.encode(value).decode())
