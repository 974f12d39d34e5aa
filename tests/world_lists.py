"""An HTTP API to be read from, whose list has a cursor, page numbers and `Link` headers, and gives single records or none."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from itertools import islice
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from msgspec.json import encode
from simulated import a_run, answering

from worker.clients.http import Http, segment
from worker.source import Record, Source
from worker.sources import lists

_PAGE = 10


class Api:
    """Things by id: `/after?id=&limit=`, `/pages?page=`, `/links?id=` and `/things/<id>`."""

    def __init__(self) -> None:
        self.versions: dict[int, int] = {}
        self.ids: list[int] = []

    def sort(self) -> None:
        """Bring the list up to date."""
        self.ids = sorted(self.versions)

    async def answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        url = urlsplit(head.split(b" ", 2)[1].decode())
        query = {name: int(value) for name, value in parse_qsl(url.query)}
        status, body, *headers = getattr(self, url.path.split("/")[1])(url.path, query)
        lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode() + body)

    def after(self, path: str, query: dict[str, int]) -> tuple[Any, ...]:
        """Give what follows an id."""
        place = bisect_right(self.ids, query.get("id", 0))
        return 200, encode(
            {"data": self._things(place, query["limit"]), "has_more": place + query["limit"] < len(self.ids)}
        )

    def pages(self, path: str, query: dict[str, int]) -> tuple[Any, ...]:
        """Give a page by its number."""
        end = query["page"] * _PAGE
        return 200, encode({"data": self._things(end - _PAGE, _PAGE), "has_more": end < len(self.ids)})

    def links(self, path: str, query: dict[str, int]) -> tuple[Any, ...]:
        """Give what follows an id, and name the next page in a header."""
        place = bisect_right(self.ids, query.get("id", 0))
        things = self._things(place, _PAGE)
        if place + _PAGE >= len(self.ids):
            return 200, encode(things)
        return 200, encode(things), f'Link: </links>; rel="first", </links?id={things[-1]["id"]}>; rel="next"'

    def things(self, path: str, query: dict[str, int]) -> tuple[Any, ...]:
        """Give one thing."""
        number = int(path.rpartition("/")[2])
        return (200, encode(self._thing(number))) if number in self.versions else (404, b"{}")

    def _things(self, place: int, limit: int) -> list[dict[str, int]]:
        return [self._thing(number) for number in islice(self.ids, place, place + limit)]

    def _thing(self, number: int) -> dict[str, int]:
        return {"id": number, "version": self.versions[number]}


class ListWorld:
    """The API, read in one of its ways."""

    lacks: dict[str, str] = {}  # noqa: RUF012 - what a world says of itself

    def __init__(self, read: Callable[["ListWorld"], Source]) -> None:
        self.api, self._read, self._opened = Api(), read, AsyncExitStack()
        self.http: Http

    async def __aenter__(self) -> Self:
        url = await self._opened.enter_async_context(answering(self.api.answer))
        self.http = await self._opened.enter_async_context(Http(a_run(), base_url=url))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._opened.aclose()

    async def source(self) -> Source:
        """Give a source over the list."""
        source = self._read(self)
        assert await source.check() == []
        return source

    async def insert(self, ids: Iterable[int]) -> None:
        """Add things."""
        self.api.versions |= dict.fromkeys(ids, 0)
        self.api.sort()

    async def delete(self, ids: Iterable[int]) -> None:
        """Take things away."""
        for number in ids:
            self.api.versions.pop(number, None)
        self.api.sort()

    async def change(self, ids: Iterable[int]) -> None:
        """Give things a new version."""
        for number in ids:
            self.api.versions[number] += 1

    def id(self, record: Record) -> int:
        """Give the thing's id."""
        return int(record["id"])

    def version(self, record: Record) -> int:
        """Give the thing's version."""
        return int(record["version"])

    async def after(self, after: int | None, size: int) -> tuple[Sequence[Record], bool]:
        """Get what follows a thing."""
        body = (await self.http.get("/after", params={"id": str(after or 0), "limit": str(size)})).json()
        return body["data"], body["has_more"]

    async def numbered(self, number: int) -> tuple[Sequence[Record], bool]:
        """Get a page by its number."""
        body = (await self.http.get("/pages", params={"page": str(number)})).json()
        return body["data"], body["has_more"]

    async def one(self, number: int) -> Record | None:
        """Get one thing, unless it is gone."""
        response = await self.http.get(f"/things/{segment(number)}", accept={404})
        return response.json() if response.status == 200 else None


WORLDS = {
    "list by cursor": lambda: ListWorld(lambda api: lists.by_cursor(api.after, one=api.one)),
    "list by cursor, searched": lambda: ListWorld(lambda api: lists.by_cursor(api.after)),
    "list by page number": lambda: ListWorld(lambda api: lists.by_page_number(api.numbered)),
    "list by link": lambda: ListWorld(lambda api: lists.by_link(api.http.get, first="/links")),
    "list by link, asked": lambda: ListWorld(lambda api: lists.by_link(api.http.get, first="/links", one=api.one)),
}
