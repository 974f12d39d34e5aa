"""What every source keeps to that can be divided among shards: each record in one part, parts of about equal size."""

import inspect
import json
from collections.abc import AsyncIterator

import pytest
from worlds import WORLDS, World

from worker.database import Link
from worker.source import Bounds, Divisible, Key, Source, part
from worker.sources.dynamodb_items import DynamoDBScan
from worker.sources.postgres import query
from worker.sources.postgres_parts import divide

SKEWED = [*range(1, 91), *(10**9 + 10**6 * n for n in range(10))]
"""Nearly all of them are in the first millionth of the range."""


DIVISIBLE = [name for name in WORLDS if name.startswith("postgres") or name in ("dynamodb scan, moto", "s3 objects")]


@pytest.fixture(params=DIVISIBLE)
def closed(request: pytest.FixtureRequest) -> World:
    """Give the worlds whose sources may be divisible, before they are entered."""
    factory = WORLDS[request.param]
    world: World = factory(**{name: request.getfixturevalue(name) for name in inspect.signature(factory).parameters})
    return world


@pytest.fixture
async def world(closed: World) -> AsyncIterator[World]:
    """Give each of them, empty."""
    async with closed as world:
        yield world


async def parts_of(world: World, parts: int) -> list[Source]:
    """Divide it and give a source for each part; the bounds go through the run store."""
    source = await world.source()
    assert isinstance(source, Divisible)
    bounds: Bounds = json.loads(json.dumps(await source.bounds(parts)))
    narrowed: list[Source] = []
    for number in range(1, parts + 1):
        source = await world.source()
        assert isinstance(source, Divisible)
        source.narrow(number, parts, bounds)
        narrowed.append(source)
    return narrowed


async def read(world: World, source: Source, after: Key | None = None, size: int = 7) -> list[int]:
    """Read a part to its end."""
    ids: list[int] = []
    while True:
        page = await source.page(after, size)
        ids += map(world.id, page.records)
        after = page.after
        if after is None:
            return ids


@pytest.mark.parametrize("parts", [1, 8])
async def test_parts_hold_each_record_once_and_about_as_many(world: World, parts: int) -> None:
    """Whatever the distribution of the keys; a segment's size is DynamoDB's affair."""
    await world.insert(SKEWED)
    sources = await parts_of(world, parts)
    found = [await read(world, source) for source in sources]
    assert sorted(number for ids in found for number in ids) == SKEWED
    if not isinstance(sources[0], DynamoDBScan):
        assert {len(ids) for ids in found} <= {len(SKEWED) // parts, -(-len(SKEWED) // parts)}


@pytest.mark.parametrize("count", [0, 3])
async def test_parts_may_be_more_than_records(world: World, count: int) -> None:
    """Some have none; a record that comes later is in one of them."""
    await world.insert(range(10, 10 + count))
    sources = await parts_of(world, 8)
    await world.insert([5, 50])
    found = sorted([number for source in sources for number in await read(world, source)])
    assert found == [5, *range(10, 10 + count), 50]


async def test_parts_are_read_from_any_position(world: World) -> None:
    """A part goes on after a key, and finds its own records by their keys."""
    await world.insert(SKEWED)
    for source in await parts_of(world, 3):
        ids = await read(world, source)
        page = await source.page(None, 5)
        if page.after is not None:
            again = await read(world, source, source.decode(json.loads(json.dumps(source.encode(page.after)))))
            assert [*map(world.id, page.records), *again] == ids
        keys = [source.key(record) for record in page.records]
        assert {world.id(record) for record in await source.records(keys)} == set(map(world.id, page.records))


def test_parts_of_few_bounds_have_open_ends() -> None:
    """The last part that has records takes all that come after; those behind it have none."""
    assert [part(number, 4, [[1], [2]]) for number in (1, 2, 3, 4)] == [(None, [1]), ([1], [2]), ([2], None), None]
    assert [part(number, 2, []) for number in (1, 2)] == [(None, None), None]


async def test_parts_of_a_slow_query_come_from_a_sample(link: Link) -> None:
    """The boundaries are about where counting would have put them, for the rows that the query selects."""
    async with link.using() as connection:
        await connection.execute(
            "CREATE TABLE item (shop int, id bigint, open boolean, PRIMARY KEY (shop, id));"
            "INSERT INTO item SELECT n % 7, n, n % 3 = 0 AND n > 20000 FROM generate_series(1, 60000) n; ANALYZE item"
        )
    source = query("SELECT id, shop FROM item WHERE open AND shop < $1", 5, key=("shop", "id"))
    source.connect(link, link)
    assert await source.check() == []
    bounds = await divide(link, source._sql, (5,), 4, source.encode, exact_ms=1)
    sizes = []
    for number in range(1, 5):
        narrowed = query("SELECT id, shop FROM item WHERE open AND shop < $1", 5, key=("shop", "id"))
        narrowed.connect(link, link)
        assert await narrowed.check() == []
        narrowed.narrow(number, 4, bounds)
        sizes.append(await narrowed.count(None) or 0)
    assert len(bounds) == 3
    assert max(sizes) < 1.3 * min(sizes)
