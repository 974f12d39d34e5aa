"""What every source keeps to, in every world there is (tests/worlds.py): pages, resuming, records by key, and the engine over it."""

import inspect
import json
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes import Batches, adds_up, engine_over
from worlds import WORLDS, World

from worker.limits import Limits
from worker.outcome import done
from worker.source import Acknowledging, Key, Promise, Record, Source

FLAT = 1_000_000
"""So many bytes more may be in use after 100,000 records than after the first 10,000."""


@pytest.fixture(params=WORLDS)
def closed(request: pytest.FixtureRequest) -> World:
    """Give each world with the fixtures that it names, before it is entered."""
    factory = WORLDS[request.param]
    world: World = factory(**{name: request.getfixturevalue(name) for name in inspect.signature(factory).parameters})
    return world


@pytest.fixture
async def world(closed: World) -> AsyncIterator[World]:
    """Give each world, empty."""
    async with closed as world:
        yield world


def needs(world: World, *abilities: str) -> None:
    """Skip the test in a world that cannot do this."""
    for ability in abilities:
        if ability in world.lacks:
            pytest.skip(f"no {ability}: {world.lacks[ability]}")


async def resumable(world: World) -> Source:
    """Give a source; skip the test for a queue, which has no positions."""
    source = await world.source()
    if source.promise is Promise.QUEUE:
        pytest.skip("a queue keeps no position and finds no record by its key")
    return source


def stored(source: Source, key: Key) -> Key:
    """Give a key as it comes back from the run store."""
    return source.decode(json.loads(json.dumps(source.encode(key))))


async def ids_from(world: World, source: Source, after: Key | None, size: int) -> list[int]:
    """Read a source from a position to its end; no page is larger than was asked for."""
    ids: list[int] = []
    while True:
        records, after = await source.page(after, size)
        assert len(records) <= size
        ids += map(world.id, records)
        if after is None:
            return ids


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
async def test_source_gives_each_record_once(world: World, count: int) -> None:
    """None, one, nearly, exactly and just over a page, and several: each record once, whatever the page's size."""
    await world.insert(range(1, count + 1))
    ids = await ids_from(world, await world.source(), None, 10)
    assert sorted(ids) == list(range(1, count + 1))


async def test_source_goes_on_after_every_page(world: World) -> None:
    """A new attempt with nothing but the position from the run store reads the rest, whatever size its pages have."""
    await world.insert(range(1, 41))
    source = await resumable(world)
    seen: list[int] = []
    after: Key | None = None
    while True:
        records, after = await source.page(after, 7)
        seen += map(world.id, records)
        if after is None:
            break
        source = await world.source()
        after = stored(source, after)
        assert sorted(seen + await ids_from(world, source, after, 11)) == list(range(1, 41))
    assert sorted(seen) == list(range(1, 41))


async def test_source_goes_on_after_every_record(world: World) -> None:
    """The key of any record is a position too: a crash in the middle of a page loses and repeats nothing."""
    await world.insert(range(1, 16))
    source = await resumable(world)
    seen: list[int] = []
    after: Key | None = None
    while True:
        records, after = await source.page(after, 6)
        for record in records:
            seen.append(world.id(record))
            rest = await ids_from(world, source, stored(source, source.key(record)), 6)
            assert sorted(seen + rest) == list(range(1, 16))
        if after is None:
            return


async def test_source_misses_nothing_while_records_come_and_go(world: World) -> None:
    """What was there throughout is read, and once where the source is stable; the last record read goes first."""
    needs(world, "insert", "delete")
    source = await resumable(world)
    chance, seen = random.Random(5), list[int]()
    throughout, fresh = set(range(10, 1_010, 10)), set(range(1, 1_010)) - set(range(10, 1_010, 10))
    await world.insert(throughout)
    records, after = await source.page(None, 8)
    seen += map(world.id, records)
    for _ in range(30):
        if after is None:
            break
        come, go = chance.sample(sorted(fresh), 4), {*seen[-1:], *chance.sample(sorted(throughout), 2)}
        await world.insert(come)
        await world.delete(go)
        throughout, fresh = throughout - go, fresh - set(come)
        records, after = await source.page(after, 8)
        seen += map(world.id, records)
    if after is not None:
        seen += await ids_from(world, source, after, 8)
    if source.promise is not Promise.BY_POSITION:
        assert throughout <= set(seen)
    if source.promise is Promise.STABLE:
        assert Counter(seen).most_common(1)[0][1] == 1


async def test_source_reads_records_by_their_keys(world: World) -> None:
    """Each that is there comes once, as it is now; what is gone is left out; no key, no record."""
    needs(world, "records")
    await world.insert(range(1, 21))
    source = await resumable(world)
    keys = {world.id(record): source.key(record) for record in await all_records(source)}
    wanted = [stored(source, keys[number]) for number in (3, 7, 11, 19)]
    if "delete" not in world.lacks:
        await world.delete([7, 8])
    if "change" not in world.lacks:
        await world.change([11, 12])
    found = {world.id(record): record for record in await (await world.source()).records(wanted)}
    assert sorted(found) == ([3, 7, 11, 19] if "delete" in world.lacks else [3, 11, 19])
    assert {source.key(record) for record in found.values()} <= set(wanted)
    assert world.version(found[11]) == (0 if "change" in world.lacks else 1)
    assert world.version(found[3]) == 0
    assert list(await source.records([])) == []


async def test_source_count_is_plausible_or_unknown(world: World) -> None:
    """About as many as there are, and no more behind a position than in all."""
    await world.insert(range(1, 101))
    source = await world.source()
    count = await source.count(None)
    assert count is None or 50 <= count <= 200
    after = (await source.page(None, 50)).after
    if after is not None and count is not None:
        behind = await source.count(after)
        assert behind is None or behind <= count


async def test_source_feeds_the_engine(world: World) -> None:
    """2,000 records, read ahead and worked on at once: each has its result; a queue is empty afterwards."""
    await world.insert(range(1, 2_001))
    source = await world.source()
    seen = await worked_through(world, source, range(1, 2_001))
    assert set(seen) == {0, 1}, "each once"
    if isinstance(source, Acknowledging):
        assert await ids_from(world, await world.source(), None, 10) == []


@pytest.mark.soak
async def test_source_feeds_the_engine_in_flat_memory(world: World) -> None:
    """100,000 records take no more memory than the first 10,000 of them."""
    needs(world, "bulk")
    await world.insert(range(1, 100_001))
    peaks: list[int] = []
    tracemalloc.start()
    try:
        seen = await worked_through(world, await world.source(), range(1, 100_001), peaks)
    finally:
        tracemalloc.stop()
    assert seen.count(1) == 100_000
    assert max(peaks) < peaks[0] + FLAT, peaks


async def worked_through(world: World, source: Source, ids: range, peaks: list[int] | None = None) -> bytearray:
    """Let the engine work on everything; give how often each id was seen, and note the most memory in use for each tenth."""
    seen, count = bytearray(ids.stop), 0

    async def process(record: Record) -> Any:
        nonlocal count
        seen[world.id(record)] += 1
        count += 1
        if peaks is not None and count % (len(ids) // 10) == 0:
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
        return done(world.id(record))

    engine = engine_over(source, process, Batches(keeps=False), limits=Limits(page_size=200), clock=time.monotonic)
    await engine.work()
    assert engine.complete
    assert adds_up(engine)
    return seen


async def all_records(source: Source) -> list[Record]:
    """Read a source from its start to its end."""
    records, after = await source.page(None, 10)
    everything = list(records)
    while after is not None:
        records, after = await source.page(after, 10)
        everything += records
    return everything
