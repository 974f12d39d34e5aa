"""Keep the slots supplied: pages read ahead, records to be tried again, records that grew old read again.

Everything taken in order is accounted for at any instant: what was handed out and has no outcome yet is in a slot or parked
here, so a checkpoint is the key of the last record taken plus those keys. That is the whole secret of resuming.
"""

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from math import inf
from operator import length_hint
from typing import Any, TypeVar

from worker.errors import Permanent
from worker.source import Key, Page, Record, Source

T = TypeVar("T")
Patiently = Callable[[Callable[[], Awaitable[T]]], Awaitable[T]]

_HOPELESS = 3
"""So many reads in a row that were too old on arrival: the query takes longer than `max_age` allows."""


@dataclass(slots=True, eq=False)
class Parked:
    """A record that left the straight way: to be tried again, or to be read again first."""

    key: Key
    record: Record
    read_at: float
    read_again: bool = False
    """Whether it was read afresh and not tried since."""
    tries: int = 0
    first_error_at: datetime | None = None


class Supply:
    """Hand out records in the source's order.

    `take` hands out one. What is laid out is taken off `straight` by whoever comes first, one after the other and without a call;
    `take_back` ends that, and comes before the next `take`.
    """

    def __init__(
        self,
        source: Source,
        *,
        page_size: int,
        window: int,
        max_age: float | None,
        after: Key | None = None,
        open_keys: Sequence[Key] = (),
        at_most: int | None = None,
        wake: Callable[[], None],
        turned: Callable[[], None] = lambda: None,
        gone: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._page_size, self._window = source, page_size, window
        self._largest_page, self._clock = page_size, clock
        self._max_age = max_age if max_age is not None else inf
        self._wake, self._turned, self._gone = wake, turned, gone
        self.reached = self._after = after  # behind the last page that was used up, and behind the last one read
        self._unread = at_most
        self._page: list[Record] = []  # the current one
        self._rows = iter(self._page)  # of it, those that are not taken
        self.straight: Iterator[Record] = islice(self._rows, 0)
        self._left = self._straight_to = 0  # rows left at the last look; those of them behind what is laid out
        self._taken_at = -inf  # the last row, or a little later
        self._old_at = -inf  # when it is too old
        self._beyond: Key | None = None  # the position behind the current page
        self._pages: deque[tuple[list[Record], float, Key | None]] = deque()
        self._generation = 0
        self._old_reads = 0  # in a row, with nothing handed out between them
        self._due: deque[Parked] = deque()
        self._later: list[tuple[float, int, Parked]] = []  # a heap by the moment of the next try
        self._order = itertools.count()
        self._again = [Parked(key, None, -inf) for key in open_keys]  # to be read again
        self._pumping = asyncio.Event()
        self._reading = False  # a page: its query is out
        self.read = len(self._again)
        self.reading_s = 0.0
        self.read_at = 0.0
        self._oldest_age_s = 0.0
        self.ended = False

    @property
    def parked(self) -> int:
        """Count the records that were taken, have no outcome and are in no slot."""
        return len(self._due) + len(self._later) + len(self._again)

    @property
    def stock(self) -> int:
        """Count what can be taken now; new rows only while the window of open keys has room."""
        return len(self._due) + (0 if self.blocked else self.ahead)

    @property
    def straight_until(self) -> float:
        """Give the moment until which the next rows may be laid out: until they grow old, or something comes before them."""
        return -inf if self._due or self.blocked else self._old_at

    @property
    def ahead(self) -> int:
        """Count the rows that were read and not taken."""
        return length_hint(self._rows) + sum(len(rows) for rows, _, _ in self._pages)

    @property
    def oldest_age_s(self) -> float:
        """Give the greatest age at which a record was handed out."""
        return max(self._oldest_age_s, self._taken_at - self.read_at)

    @property
    def blocked(self) -> bool:
        """Tell whether the window of open keys is full."""
        return self.parked >= self._window

    @property
    def retrying(self) -> bool:
        """Tell whether all that is left waits for its next try, or has waited for it until now."""
        return self.ended and not self.ahead and bool(self._later or self._due)

    @property
    def exhausted(self) -> bool:
        """Tell whether nothing is left here, now or later."""
        return self.ended and not self.ahead and not self.parked

    def take(self, now: float) -> Record | Parked | None:
        """Hand out the next record that is young enough; None when there is none."""
        if self._due and (parked := self._take_due(now)) is not None:
            return parked
        if self.blocked or (not length_hint(self._rows) and not self._turn()):
            return None
        if now > self._old_at:
            self._drop()
            return None
        self._old_reads = 0
        record = next(self._rows)
        self._straight_to = self.look(now)
        return record

    def look(self, now: float) -> int:
        """Count the rows of the page that are not taken; what was taken since the last look was taken by now."""
        left = length_hint(self._rows)
        if left < self._left:
            self._left, self._taken_at = left, min(now, self._old_at)  # none is handed out later than that
        if not left:
            del self._page[:-1]  # before the next page is read: its rows come to lie where these did
        return left

    def lay_out(self, many: int) -> None:
        """Lay out so many of the rows that are left."""
        self._straight_to = self._left - many
        self.straight = islice(self._rows, many)

    def take_back(self, now: float) -> int:
        """End the straight way; give how many of the rows that were laid out were not taken."""
        untaken = self.look(now) - self._straight_to
        if untaken:
            deque(self.straight, maxlen=0)  # ends it, wherever somebody goes along it
            self._rows.__setstate__(len(self._page) - self._left)  # type: ignore[attr-defined]  # of list iterators, for pickle
            self._straight_to = self._left
        return untaken

    def _begin(self, page: list[Record]) -> None:
        """Go on with these rows."""
        self._page, self._rows = page, iter(page)
        self._left = self._straight_to = len(page)

    def park(self, parked: Parked, until: float) -> None:
        """Keep a record for another try at that moment of the clock."""
        heapq.heappush(self._later, (until, next(self._order), parked))

    def requeue(self, parked: Parked) -> None:
        """Let a record be taken again at once, before all others."""
        self._due.append(parked)
        self._wake()

    def ripen(self, now: float) -> None:
        """Let the records whose pause is over be taken."""
        while self._later and self._later[0][0] <= now:
            self._due.append(heapq.heappop(self._later)[2])
            self._wake()

    def key_of(self, taken: Record | Parked) -> Key:
        """Give the key of what `take` handed out."""
        return taken.key if isinstance(taken, Parked) else self._source.key(taken)

    def cursor(self) -> Key | None:
        """Give the position up to which records were taken in order: all before it are finished, in a slot or in `open_keys`."""
        taken = len(self._page) - length_hint(self._rows)
        return self._source.key(self._page[taken - 1]) if taken else self.reached

    def open_keys(self) -> list[Key]:
        """Give the keys of the parked records."""
        return [parked.key for parked in (*self._due, *(entry[2] for entry in self._later), *self._again)]

    async def pump(self, patiently: "Patiently[Any]") -> None:
        """Read ahead until the source is at its end: old records again first, then the next page."""
        while True:
            if self._again and len(self._due) < self._page_size:
                await self._read_again(patiently)
            elif not self.ended and self._room:
                await self._read_page(patiently)
            else:
                self._pumping.clear()
                await self._pumping.wait()

    @property
    def _room(self) -> bool:
        """Tell whether another page may be read: beside the current one, or beside the next where no row of that is left."""
        return len(self._pages) < (1 if length_hint(self._rows) else 2)

    async def _read_page(self, patiently: "Patiently[Page]") -> None:
        size = self._page_size if self._unread is None else min(self._page_size, self._unread)
        after, generation, read_at = self._after, self._generation, self._clock()
        self._reading = True
        page = await patiently(lambda: self._source.page(after, size)) if size else Page((), None)
        self._reading = False
        self.reading_s += self._clock() - read_at
        if generation != self._generation:
            return  # what was ahead was dropped meanwhile: this page is out of its order
        rows = page.records
        if self._unread is not None:
            self._unread -= len(rows)
        self.ended = page.after is None or self._unread == 0
        self._after = after if page.after is None else page.after
        if rows:
            self._pages.append((list(rows), read_at, page.after))
            self.read += len(rows)
        elif not self.ahead and page.after is not None:
            self.reached, self._beyond = page.after, None
            self._begin([])
        self._wake()

    async def _read_again(self, patiently: "Patiently[Sequence[Record]]") -> None:
        batch = self._again[: self._page_size]
        read_at = self._clock()
        records = await patiently(lambda: self._source.records([parked.key for parked in batch]))
        found = {self._source.key(record): record for record in records}
        self._again = self._again[len(batch) :]
        for parked in batch:
            if parked.key in found:
                parked.record, parked.read_at, parked.read_again = found[parked.key], read_at, True
                self._due.append(parked)
            else:
                self._gone()
        self._wake()

    def _take_due(self, now: float) -> Parked | None:
        """Hand out a record that is to be tried again; those that grew old meanwhile are read again first."""
        outdated = False
        while self._due:
            parked = self._due.popleft()
            if self._again:
                self._pumping.set()  # there is room for what is to be read again
            if now - parked.read_at <= self._max_age:
                parked.read_again = False
                self._old_reads = 0
                self._oldest_age_s = max(self._oldest_age_s, now - parked.read_at)
                return parked
            outdated = outdated or parked.read_again
            self._again.append(parked)
            self._pumping.set()
        if outdated:
            self._read_in_vain()
        return None

    def _turn(self) -> bool:
        """Go on to the next page; one that was used up while young lets the next ones be a little larger again."""
        if not self._pages:
            return False
        if self._beyond is not None:
            self.reached = self._beyond
        self._oldest_age_s = self.oldest_age_s
        rows, self.read_at, self._beyond = self._pages.popleft()
        self._begin(rows)
        self._taken_at, self._old_at = -inf, self.read_at + self._max_age
        self._page_size = min(self._largest_page, self._page_size + max(1, self._page_size // 16))
        self._pumping.set()
        if not self._reading:
            self._turned()
        return True

    def _drop(self) -> None:
        """Forget what is ahead, for it grew old, and read it anew from the last record taken, in smaller pages."""
        self._read_in_vain()
        self.read -= self.ahead
        if self._unread is not None:
            self._unread += self.ahead
        self._after = self.reached = self.cursor()
        self._beyond = None
        self._begin([])
        self._pages.clear()
        self._generation += 1
        self.ended = False
        self._pumping.set()

    def _read_in_vain(self) -> None:
        """Read less at once after what was read grew old; give up when even the first of it is too old each time."""
        self._page_size = max(1, self._page_size // 2)
        self._old_reads += 1
        if self._old_reads > _HOPELESS:
            raise Permanent(
                f"records are older than max_age={self._max_age:g} s as soon as they are read: "
                f"the query is too slow for it; make the query faster, the pages smaller or max_age longer",
                "SourceTooSlow",
            )
