"""The port that records come in by: the three questions a source answers."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

Record: TypeAlias = Any
"""A row or item, as the source's library gives it; `record["column"]` works."""

Key: TypeAlias = tuple[Any, ...]
"""What identifies a record and orders the source: the values of its key columns."""

JsonKey: TypeAlias = list[Any]
"""A key as the run store and the messages hold it."""


Bounds: TypeAlias = list[JsonKey]
"""Keys that divide records in their order: a part has those after one of them, up to and with the next."""


class Promise(Enum):
    """What a source can say about reading each record once."""

    STABLE = "stable: each record that exists throughout is read once"
    AT_LEAST_ONCE = "at-least-once: a record may be read again"
    BY_POSITION = "by position: a record may be read again, or passed over when the list changes meanwhile"
    QUEUE = "at-least-once: what is not finished is delivered again"
    """There is nothing to resume: no cursor and no open keys are kept."""


class Page(NamedTuple):
    """Records in the source's order, at most as many as were asked for; there may be none of them without this being the end."""

    records: Sequence[Record]
    after: Key | None
    """The position behind all that was looked at, where the next page begins; None: this was the last."""


class Source(Protocol):
    """Records in pages, in the order of an immutable key."""

    promise: Promise
    order: str
    """The key columns, for the start log and to refuse a cursor whose source changed its key."""

    def key(self, record: Record) -> Key:
        """Give the key of a record."""
        ...

    def encode(self, key: Key) -> JsonKey:
        """Give a key's JSON form."""
        ...

    def decode(self, key: JsonKey) -> Key:
        """Read what `encode` gave."""
        ...

    async def check(self) -> list[str]:
        """Find the faults that would keep the source from being read, in words."""
        ...

    async def page(self, after: Key | None, size: int) -> Page:
        """Read the next records after a key (None: from the start)."""
        ...

    async def count(self, after: Key | None) -> int | None:
        """Say about how many records follow a key; None where that is unknown."""
        ...

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Read the records with these keys afresh; what is gone, or no longer selected, is left out."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """What a source also answers to if several shards may read a part of it each. It is checked before."""

    async def bounds(self, parts: int) -> Bounds:
        """Find the keys that divide the records into so many parts of about equal size; fewer where there are fewer records."""
        ...

    def narrow(self, number: int, parts: int, bounds: Bounds) -> None:
        """Read one of so many parts alone, from now on; they count from 1."""
        ...


def part(number: int, parts: int, bounds: Bounds) -> tuple[JsonKey | None, JsonKey | None] | None:
    """Give the key after which a part begins and the one with which it ends, None for an open side; None for a part without records."""
    last = min(parts, len(bounds) + 1)
    if number > last:
        return None
    return bounds[number - 2] if number > 1 else None, bounds[number - 1] if number < last else None


@runtime_checkable
class Connecting(Protocol):
    """What a source also answers to if it reads from the run's PostgreSQL: it is lent its connections before it is used."""

    def connect(self, link: Any, aside: Any, primary: Any = None) -> None:
        """Read through the first `Link`, and do what may take its time through the second; a third is the primary's, where those are a replica's."""
        ...


class Failure(NamedTuple):
    """A record that failed, and how, in the words of its dead letter."""

    record: Record
    type: str
    message: str


@runtime_checkable
class Acknowledging(Protocol):
    """What a source also answers to if its records are to be let go of once they are finished, as a queue's messages are.

    Its failed records are where it has put them, so that a replay finds nothing: `redrive` says what to do instead.
    """

    async def acknowledge(self, finished: Sequence[Record], failed: Sequence[Failure]) -> None:
        """Let go of records whose outcome a page commit has recorded: done and skipped ones, and failed ones.

        Called after the commit, so that what a crash in between leaves behind is delivered again. `Transient` asks for the call
        to be made again.
        """
        ...

    def redrive(self) -> str:
        """Give the command that lets failed records be delivered again."""
        ...
