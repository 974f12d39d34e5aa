"""worker/sources/lists.py: what is particular to lists; what they share with every source is in test_source_contract.py."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from fakes import Batches, engine_over, now
from simulated import a_run, saying
from world_lists import ListWorld

from worker.clients.http import Http
from worker.errors import Permanent, Throttled
from worker.limits import Limits, Rate
from worker.outcome import done
from worker.source import Record
from worker.sources import lists
from worker.sources.links import next_page


class Said:
    """An answer with a Link header."""

    url = "https://api.example.com/v1/items?page=2"

    def __init__(self, link: str | None) -> None:
        self.headers = {} if link is None else {"link": link}

    def json(self) -> Any:
        """Give no record."""
        return []


@pytest.mark.parametrize(
    ("link", "url"),
    [
        (None, None),
        ("", None),
        ('</v1/items?page=1>; rel="prev"', None),
        ('<https://api.example.com/v1/items?page=3>; rel="next"', "https://api.example.com/v1/items?page=3"),
        ("<?page=3>; rel=next", "https://api.example.com/v1/items?page=3"),
        ('</a,b;c?d="e">;title="next, of all; rel=prev";REL="last Next"', 'https://api.example.com/a,b;c?d="e"'),
        ('<?page=9>; rel="last" , <?page=3>; rel="next"', "https://api.example.com/v1/items?page=3"),
        ("<HTTPS://API.example.com/x>; rel=next", "https://API.example.com/x"),
        ("</x>; anchor; rel=next", "https://api.example.com/x"),
    ],
)
def test_lists_find_the_next_link(link: str | None, url: str | None) -> None:
    """Whatever else the header says, in whatever order, and relative to the page that says it."""
    assert next_page(Said(link)) == url


@pytest.mark.parametrize("target", ["https://evil.example.com/v1", "http://api.example.com/v1", "//evil.example.com/"])
async def test_lists_follow_no_link_to_another_host(target: str) -> None:
    """The client would send its credentials there, or send them in the clear."""

    async def get(url: str) -> Said:
        return Said(f"<{target}>; rel=next")

    with pytest.raises(Permanent, match=r"goes on at http.*, which is not followed"):
        await lists.by_link(get, first="/v1/items").page(None, 10)


async def test_lists_read_links_over_several_headers() -> None:
    """A server may send each link in a header of its own; the records may be within a field."""
    headers = ('Link: </first>; rel="first"', 'Link: </second>; rel="next"')
    async with saying("200 OK", *headers, body=b'{"items": [{"id": 1}]}') as url, Http(a_run(), base_url=url) as http:
        records, after = await lists.by_link(http.get, first="/list", within="items").page(None, 10)
        assert [record["id"] for record in records] == [1]
        assert after == (f"{url}/second", None)
        assert (await http.get(f"{url}/third")).status == 200, "its own links are taken as they are"
        with pytest.raises(ValueError, match="begins with a slash"):
            await http.get("https://elsewhere.example.com/")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Permanent("answered 401", "HTTP 401"), "the list cannot be read: answered 401"),
        (([{"name": "a"}], False), "the list's records have no id"),
        ((["a"], False), "the list's records have no id"),
        (([{"id": None}], False), r"a list's key is texts and numbers, not \(None,\)"),
        (([{"id": 0.5}], True), r"a list's key is texts and numbers, not \(0.5,\)"),
    ],
)
async def test_lists_check_reads_a_record(answer: Any, said: str) -> None:
    """A key that is refused, or a record without its key, is found before the work begins."""

    async def fetch(after: Any, size: int) -> tuple[Sequence[Record], bool]:
        assert size == 1
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    [fault] = await lists.by_cursor(fetch).check()
    assert re.search(said, fault)


async def test_lists_that_do_not_get_on_are_not_read_for_ever() -> None:
    """More is promised and the same, or nothing, is given."""

    async def nothing(after: Any, size: int) -> tuple[Sequence[Record], bool]:
        return [], True

    async def the_same(after: Any, size: int) -> tuple[Sequence[Record], bool]:
        return [{"id": 1}], True

    async def itself(url: str) -> Said:
        return Said(f"<{url}>; rel=next")

    for source, after in ((lists.by_cursor(nothing), None), (lists.by_cursor(the_same), (1,))):
        with pytest.raises(Permanent, match="says that there are more records"):
            await source.page(after, 10)
    with pytest.raises(Permanent, match="followed by itself"):
        await lists.by_link(itself, first=Said.url).page(None, 10)


async def test_lists_by_several_fields_give_them_to_fetch() -> None:
    """The key of two fields reaches `fetch` and `one` as a tuple."""
    asked: list[Any] = []

    async def fetch(after: Any, size: int) -> tuple[Sequence[Record], bool]:
        asked.append(after)
        return [{"at": 3, "id": "c"}, {"at": 2, "id": "b"}], False

    async def one(key: Any) -> Record | None:
        asked.append(key)
        return None

    source = lists.by_cursor(fetch, key=("at", "id"), one=one)
    assert [source.key(record) for record in (await source.page((4, "d"), 1)).records] == [(3, "c")]
    assert await source.records([(3, "c")]) == []
    assert asked == [(4, "d"), (3, "c")]


async def test_lists_find_records_that_moved_to_another_page() -> None:
    """What was inserted or deleted before them has pushed them on, or back: they are found, under the key they had."""
    for read in (
        lambda world: lists.by_page_number(world.numbered),
        lambda world: lists.by_link(world.http.get, first="/links"),
    ):
        async with ListWorld(read) as world:
            await world.insert(range(10, 310, 10))
            source = await world.source()
            keys = [source.key(record) for record in (await source.page(None, 10)).records]
            await world.insert(range(11, 31))
            assert {source.key(record) for record in await source.records(keys)} == set(keys)
    async with ListWorld(lambda world: lists.by_page_number(world.numbered)) as world:
        await world.insert(range(1, 31))
        source = await world.source()
        keys = [source.key(record) for record in (await source.page((2, None), 10)).records]
        await world.delete(range(1, 11))
        assert {source.key(record) for record in await source.records(keys)} == set(keys)


@pytest.mark.looptime
async def test_lists_that_are_throttled_hold_every_slot() -> None:
    """A page that is answered with Retry-After is asked for again when that is over, and nobody is let through meanwhile."""
    asked: list[float] = []

    async def fetch(after: Any, size: int) -> tuple[Sequence[Record], bool]:
        asked.append(now())
        if len(asked) == 1:
            raise Throttled("not so fast", 30.0)
        return [{"id": number} for number in range(10)], False

    sink = Batches()
    engine = engine_over(lists.by_cursor(fetch), process, sink, limits=Limits(rate=Rate(100)))
    await engine.work()
    assert asked == [0.0, pytest.approx(30.0, abs=0.1)]
    assert engine.ledger.tally.throttled == 1
    assert engine.throttled_s == pytest.approx(30.0, abs=0.1)
    assert len(sink.ids()) == 10


async def process(record: Record) -> Any:
    """Finish a record."""
    return done()


async def test_list_with_a_record_twice_on_a_page_does_not_go_round_for_ever() -> None:
    """A position is a record of a page: named twice, it would be found at the first of them again and again."""

    async def fetch(_: int) -> tuple[list[Record], bool]:
        return [{"id": 1}, {"id": 1}, {"id": 2}], False

    source = lists.by_page_number(fetch)
    page = await source.page(None, 1)
    with pytest.raises(Permanent, match="page 1 has the id 1 twice"):
        await source.page(page.after, 1)
