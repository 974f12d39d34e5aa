"""Decide what has become of a payment from a seed and its reference alone: never from time, nor from how often it is asked.

What is wrong with the *call* is decided apart from it: a reference that has trouble fails its first tries and then answers,
so that a retry can succeed and a run that is repeated ends the same.
"""

import math
from hashlib import blake2b
from struct import Struct
from typing import NamedTuple

_SHARES = (
    (None, 0.002),
    ("processing", 0.15),
    ("requires_payment_method", 0.04),
    ("canceled", 0.03),
    ("requires_action", 0.015),
    ("requires_capture", 0.01),
    ("requires_confirmation", 0.005),
    ("succeeded", 1.0),
)
"""A status and the share of references that have it, the rest for the last; None: the provider never heard of it."""

_DRAWS = Struct("<QQQ")
_RANGE = 2.0**64


class Fate(NamedTuple):
    """What became of one payment: `status` None is a missing one, `trouble` is in (0, 1], `number` is for its other fields."""

    status: str | None
    trouble: float
    number: int


def fate(seed: int, ref: str) -> Fate:
    """Give the fate of the payment with this reference."""
    digest = blake2b(ref.encode(errors="surrogatepass"), digest_size=24, salt=seed.to_bytes(16, "little", signed=True))
    first, second, number = _DRAWS.unpack(digest.digest())
    return Fate(_status(first / _RANGE), (second + 1) / _RANGE, number)


def failing_tries(trouble: float, fail: float) -> float:
    """Say how many first tries fail, where a share `fail` of all tries is to; infinity when that is all of them."""
    if fail <= 0:
        return 0
    if fail >= 1:
        return math.inf
    return math.log(trouble) // math.log(fail)


def _status(draw: float) -> str | None:
    for status, share in _SHARES:
        if draw < share:
            return status
        draw -= share
    return "succeeded"
