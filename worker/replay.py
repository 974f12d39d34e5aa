"""Work on the dead letters of a run again, and on nothing else: they are a source of their own."""

from collections.abc import Awaitable, Callable, Sequence

from worker.source import JsonKey, Key, Page, Record, Source

Letters = Callable[[JsonKey | None, int], Awaitable[Sequence[JsonKey]]]
"""Gives the keys of the next dead letters after a key (None: from the first), so many at most."""


class DeadLetters:
    """The records of a run's dead letters, read afresh, in the order of their keys."""

    def __init__(self, source: Source, letters: Letters, gone: Callable[[Sequence[JsonKey]], Awaitable[None]]) -> None:
        self._source, self._letters, self._gone = source, letters, gone
        self.promise, self.order = source.promise, source.order
        self.key, self.encode, self.decode = source.key, source.encode, source.decode
        self.records, self.check = source.records, source.check

    async def page(self, after: Key | None, size: int) -> Page:
        """Read the records of the next dead letters; what is gone is told, and left out."""
        keys = await self._letters(None if after is None else self.encode(after), size)
        return Page(await self._read(keys), self.decode(keys[-1]) if len(keys) == size else None)

    async def count(self, after: Key | None) -> int | None:
        """Leave it unknown: the store knows how many letters there are, not how many records."""
        return None

    async def _read(self, keys: Sequence[JsonKey]) -> list[Record]:
        """Read these letters' records in their order, and tell of those that are gone."""
        found = {self.key(record): record for record in await self.records([self.decode(key) for key in keys])}
        gone = [key for key in keys if self.decode(key) not in found]
        if gone:
            await self._gone(gone)
        return [found[key] for key in map(self.decode, keys) if key in found]
