"""Worlds that a source can be read from: what tests/test_source_contract.py holds every source to needs no more than this.

A file `world_<source>.py` has a mapping `WORLDS` from names to factories. A factory's parameters name pytest fixtures, and what
it makes is entered with `async with`. Servers that a world needs run in processes of their own: the soak measures the memory of this one.
"""

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, Self

from worker.source import Record, Source


class World(Protocol):
    """Records with ids from 1 on, which can come, go and change while a source is read; it begins empty."""

    lacks: Mapping[str, str]
    """What it cannot do, and why: `insert` and `delete` while it is read, `change`, `records` by key, `bulk`: 100,000 at once."""

    async def __aenter__(self) -> Self:
        """Start what it needs."""
        ...

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop it."""
        ...

    async def source(self) -> Source:
        """Give another source over it, as a new attempt would have one; it was checked and had no faults."""
        ...

    async def insert(self, ids: Iterable[int]) -> None:
        """Add records, at once where that is faster."""
        ...

    async def delete(self, ids: Iterable[int]) -> None:
        """Take records away; some may be gone already."""
        ...

    async def change(self, ids: Iterable[int]) -> None:
        """Raise the version of records by one."""
        ...

    def id(self, record: Record) -> int:
        """Give a record's id."""
        ...

    def version(self, record: Record) -> int:
        """Give a record's version: how often it was changed."""
        ...


WORLDS: dict[str, Callable[..., Any]] = {
    name: factory
    for file in sorted(Path(__file__).parent.glob("world_*.py"))
    for name, factory in import_module(file.stem).WORLDS.items()
}
