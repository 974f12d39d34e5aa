"""The port that records come in by: the three questions a source answers."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Protocol, TypeAlias

Record: TypeAlias = Any
"""A row or item, as the source's library gives it; `record["column"]` works."""

Key: TypeAlias = tuple[Any, ...]
"""What identifies a record and orders the source: the values of its key columns."""

JsonKey: TypeAlias = list[Any]
"""A key as the run store and the messages hold it."""


class Promise(Enum):
    """What a source can say about reading each record once."""

    STABLE = "stable: each record that exists throughout is read once"
    AT_LEAST_ONCE = "at-least-once: a record may be read again"


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

    async def page(self, after: Key | None, size: int) -> Sequence[Record]:
        """Read the next records after a key (None: from the start); fewer than `size` means the end."""
        ...

    async def count(self, after: Key | None) -> int | None:
        """Say about how many records follow a key; None where that is unknown."""
        ...

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Read the records with these keys afresh; what is gone, or no longer selected, is left out."""
        ...
