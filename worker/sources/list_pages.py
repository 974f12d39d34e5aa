"""Lists as sources: by the keys of their records, or by the names of their pages."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from worker.errors import Permanent
from worker.source import JsonKey, Key, Page, Promise, Record

CursorFetch: TypeAlias = Callable[[Any, int], Awaitable[tuple[Sequence[Record], bool]]]
"""Give the next records after a key, at most so many, and whether there are more."""
PageFetch: TypeAlias = Callable[[Any], Awaitable[tuple[Sequence[Record], Any]]]
"""Give the records of a page, and the name of the next one; None: there is none."""
One: TypeAlias = Callable[[Any], Awaitable[Record | None]]
"""Ask for the record with this key; None where it is gone."""

_AT_ONCE = 8
_SEARCHED = 100
"""So many records a page are asked for where a list must be searched."""


class _List:
    """What lists have in common: keys of JSON values, no count, and a look at the first record before all else."""

    promise: Promise
    order: str

    def key(self, record: Record) -> Key:
        raise NotImplementedError

    async def page(self, after: Key | None, size: int) -> Page:
        raise NotImplementedError

    def encode(self, key: Key) -> JsonKey:
        """Give a key as it is: JSON values."""
        return list(key)

    def decode(self, key: JsonKey) -> Key:
        """Read what `encode` gave."""
        return tuple(key)

    async def check(self) -> list[str]:
        """Read one record: is the list there, may it be read, has it the key."""
        try:
            records, _ = await self.page(None, 1)
            keys = [self.key(record) for record in records]
        except Permanent as error:
            return [f"the list cannot be read: {error}"]
        except (KeyError, TypeError) as error:
            return [f"the list's records have no {self.order}: {type(error).__name__}: {error}"]
        odd = [key for key in keys if not all(isinstance(part, (str, int)) for part in key)]
        return [f"a list's key is texts and numbers, not {key}" for key in odd]

    async def count(self, after: Key | None) -> int | None:
        """Give None: lists do not tell."""
        return None


class CursorList(_List):
    """A list by the keys of its records."""

    promise = Promise.AT_LEAST_ONCE

    def __init__(
        self,
        fetch: CursorFetch,
        key: Sequence[str],
        one: One | None,
    ) -> None:
        self._fetch, self._fields, self._one = fetch, tuple(key), one
        self.order = ", ".join(self._fields)

    def key(self, record: Record) -> Key:
        """Give the values of the key's fields."""
        return tuple([record[name] for name in self._fields])

    async def page(self, after: Key | None, size: int) -> Page:
        """Read the next records after a key. Raises Permanent where the list does not get on."""
        records, more = await self._fetch(None if after is None else self._plain(after), size)
        if len(records) > size:
            records, more = records[:size], True
        if not more:
            return Page(records, None)
        if not records or self.key(records[-1]) == after:
            raise Permanent(f"the list says that there are more records after {after}, and gives none", "ListStuck")
        return Page(records, self.key(records[-1]))

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Ask for each record, or search the list for all of them."""
        if self._one is not None:
            return await _each(self._one, [self._plain(key) for key in keys])
        wanted, found = set(keys), dict[Key, Record]()
        after: Key | None = None
        while len(found) < len(wanted):
            records, after = await self.page(after, _SEARCHED)
            found |= {key: record for record in records if (key := self.key(record)) in wanted}
            if after is None:
                break
        return list(found.values())

    def _plain(self, key: Key) -> Any:
        return key[0] if len(self._fields) == 1 else key


class Item(dict[str, Any]):
    """A record that knows on which page it was found: that is a part of its key."""

    __slots__ = ("page",)

    def __init__(self, record: Mapping[str, Any], page: Any) -> None:
        super().__init__(record)
        self.page = page


class PagedList(_List):
    """A list by the names of its pages, numbers or URLs; a position is a page and the last record read of it."""

    def __init__(
        self,
        fetch: PageFetch,
        first: Any,
        name: str,
        key: str,
        one: One | None,
        promise: Promise,
    ) -> None:
        self._fetch, self._first, self._key, self._one = fetch, first, key, one
        self.promise, self.order = promise, f"{name}, {key}"

    def key(self, record: Record) -> Key:
        """Give the record's page and its own key there."""
        return record.page, record[self._key]

    async def page(self, after: Key | None, size: int) -> Page:
        """Read a page, and leave out what precedes the position in it; where that is gone, all of the page is read again."""
        name, last = (self._first, None) if after is None else after
        records, following = await self._fetch(name)
        if following == name:
            raise Permanent(f"the list's page {name!r} says that it is followed by itself", "ListStuck")
        own = [record[self._key] for record in records]
        begin = own.index(last) + 1 if last in own else 0
        items = [Item(record, name) for record in records[begin : begin + size]]
        if begin + size < len(own):
            if self.key(items[-1]) == after:  # the position would be found at the first of the two, again and again
                raise Permanent(f"the list's page {name!r} has the {self._key} {last!r} twice", "ListStuck")
            return Page(items, self.key(items[-1]))
        return Page(items, None if following is None else (following, None))

    async def records(self, keys: Sequence[Key]) -> Sequence[Record]:
        """Ask for each record, or read their pages again; what has moved to another keeps the key that it is known by."""
        pages = {own: page for page, own in keys}
        if self._one is not None:
            return [Item(record, pages[record[self._key]]) for record in await _each(self._one, list(pages))]
        starts: dict[Any, set[Any]] = {}
        for own, page in pages.items():
            starts.setdefault(self._first if self.promise is Promise.BY_POSITION else page, set()).add(own)
        found = [await self._search(start, wanted) for start, wanted in starts.items()]
        return [Item(record, pages[own]) for part in found for own, record in part.items()]

    async def _search(self, page: Any, wanted: set[Any]) -> dict[Any, Record]:
        """Find records from a page on: where others were inserted before them they have moved to a later one."""
        found: dict[Any, Record] = {}
        while page is not None and wanted - found.keys():
            records, page = await self._fetch(page)
            found |= {own: record for record in records if (own := record[self._key]) in wanted}
        return found


async def _each(one: One, keys: Sequence[Any]) -> list[Record]:
    """Ask for records one by one, a few at once; what is gone is left out."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def asked(key: Any) -> Record | None:
        async with slots:
            return await one(key)

    return [record for record in await asyncio.gather(*map(asked, keys)) if record is not None]
