"""Read the lists of an HTTP API page by page, through functions of the client that the job opens.

Such a list changes while it is read, and only its API knows how it is ordered: no list is promised to be stable.
"""

from collections.abc import Awaitable, Callable, Sequence

from worker.source import Promise, Record
from worker.sources.links import Answer, next_page
from worker.sources.list_pages import CursorFetch, CursorList, One, PagedList


def by_cursor(
    fetch: CursorFetch,
    *,
    key: str | Sequence[str] = "id",
    one: One | None = None,
) -> CursorList:
    """Read a list whose next page begins after a record: `starting_after`, `since_id`.

    `fetch(after, size)` gives the next records after a key (None: the first) and whether there are more; `one(key)` gives a
    single record, without it the list is searched from its start. A key of several fields is given to both as a tuple.
    """
    return CursorList(fetch, (key,) if isinstance(key, str) else tuple(key), one)


def by_page_number(
    fetch: Callable[[int], Awaitable[tuple[Sequence[Record], bool]]],
    *,
    key: str = "id",
    first: int = 1,
    one: One | None = None,
) -> PagedList:
    """Read a list whose pages have numbers: `fetch(number)` gives a page, always of the same length, and whether there are more.

    What is deleted or inserted meanwhile moves records over the pages' ends: some may be passed over.
    """

    async def numbered(number: int) -> tuple[Sequence[Record], int | None]:
        records, more = await fetch(number)
        return records, number + 1 if more else None

    return PagedList(numbered, first, "page", key, one, Promise.BY_POSITION)


def by_link(
    get: Callable[[str], Awaitable[Answer]],
    *,
    first: str,
    key: str = "id",
    within: str | None = None,
    one: One | None = None,
) -> PagedList:
    """Read a list whose answers name the next page in a header: `Link: <…>; rel="next"` (RFC 8288).

    `get(url)` is a client's, such as `Http.get`; `within` names the field that holds the records where the answer is not the
    list itself. A link to another host is refused: the client would send its credentials there.
    """

    async def linked(url: str) -> tuple[Sequence[Record], str | None]:
        answer = await get(url)
        records = answer.json() if within is None else answer.json()[within]
        return records, next_page(answer)

    return PagedList(linked, first, "link", key, one, Promise.AT_LEAST_ONCE)
