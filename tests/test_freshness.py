"""How old a record may be when it is worked on, and what is read again."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from fakes import Batches, Row, Rows, Steady, at_once, engine_over, now

from worker.errors import Permanent, Throttled, Transient
from worker.limits import Limits, Rate
from worker.outcome import done
from worker.retry import Retry

pytestmark = pytest.mark.looptime
ONCE = Retry(attempts=1)


async def test_freshness_takes_the_permit_first_and_then_looks_at_the_age() -> None:
    """However slow the rate and the retries, what `process` gets was read within max_age; the oldest age is told."""
    ages: list[float] = []

    async def process(row: Row) -> Any:
        ages.append(now() - row["read_at"])
        await asyncio.sleep(0.5)
        if len(ages) % 4 == 0:
            raise Transient("again")
        return done()

    limits = Limits(concurrency=8, rate=Rate(5), page_size=500, max_age=10)
    sink, source = Batches(), Rows(range(300))
    engine = engine_over(source, process, sink, limits=limits, retry=Retry(attempts=99, first=15, longest=15))
    await engine.work()
    assert 5 < max(ages) <= 10
    assert engine.oldest_age_s == pytest.approx(max(ages))
    assert sorted(sink.ids()) == list(range(300))


async def test_freshness_remembers_the_age_of_a_record_whose_page_has_turned() -> None:
    """A retried record is as old as its own page, not as the page that was begun meanwhile."""
    ages: list[float] = []

    async def process(row: Row) -> Any:
        ages.append(now() - row["read_at"])
        if row.id == 0 and row["version"] == 0:
            source.versions[0] = 1
            await asyncio.sleep(8)
            raise Transient("again")
        await asyncio.sleep(0.1)
        return done()

    source = Rows(range(500))
    limits = Limits(concurrency=2, page_size=5, max_age=10)
    engine = engine_over(source, process, limits=limits, retry=Steady(attempts=2, first=5))
    await engine.work()
    assert max(ages) <= 10
    assert source.reread == [[0]]
    assert engine.ledger.saved.done == 500


async def test_freshness_reads_stale_pages_again() -> None:
    """After a pause longer than max_age everything ahead is read anew: changed rows are seen, gone ones never handed out."""
    seen: dict[int, int] = {}
    throttles = iter([Throttled("slow down", 60)])

    async def process(row: Row) -> Any:
        if row.id == 5 and (error := next(throttles, None)):
            source.gone.update({7, 30})
            source.versions.update({8: 1, 40: 1, 5: 1})
            raise error
        seen[row.id] = row["version"]
        return done()

    source, sink = Rows(range(50)), Batches()
    engine = engine_over(source, process, sink, limits=Limits(concurrency=1, page_size=20, max_age=10))
    await engine.work()
    assert (seen[5], seen[8], seen[40]) == (1, 1, 1)
    assert not {7, 30} & set(seen)
    assert sink.last.tally.read == sink.last.tally.finished == 48
    assert sorted(sink.ids()) == sorted(seen)


async def test_freshness_counts_a_record_that_is_gone_at_its_next_try() -> None:
    """A record that waits for a try, grew old and is no longer there is skipped as gone."""
    source, sink = Rows(range(3)), Batches()

    async def process(row: Row) -> Any:
        if row.id == 1:
            source.gone.add(1)
            raise Throttled("later", 60)
        return done()

    await engine_over(source, process, sink, limits=Limits(concurrency=1, max_age=10)).work()
    assert sink.last.tally.skipped == {"gone": 1}
    assert sink.last.tally.done == 2
    assert sink.last.open_keys == []


@pytest.mark.parametrize("slow", ["pages", "records"])
async def test_freshness_gives_up_on_a_source_that_is_too_slow(slow: str) -> None:
    """A query that always takes longer than max_age ends the run with words, not with an endless loop."""
    source = Rows(range(100), delay_s=11 if slow == "pages" else 0)
    source.again_s = 11
    sink = Batches()
    resumed: dict[str, Any] = {} if slow == "pages" else {"after": [1], "open_keys": [[1]]}
    engine = engine_over(source, at_once, sink, limits=Limits(max_age=10), **resumed)
    with pytest.raises(Permanent, match="the query is too slow"):
        await asyncio.wait_for(engine.work(), 1_000)
    assert 1 not in sink.ids()
    assert sink.last.open_keys == resumed.get("open_keys", [])


async def test_freshness_reads_open_keys_at_the_pace_of_the_work() -> None:
    """However many open keys a resume has, and however slow the rate, each is read again about once."""
    source = Rows(range(400))
    limits = Limits(concurrency=4, rate=Rate(10), page_size=100, max_age=10)
    engine = engine_over(source, limits=limits, after=[399], open_keys=[[number] for number in range(400)])
    await engine.work()
    assert engine.ledger.saved.done == 400
    assert sum(map(len, source.reread)) <= 1.5 * 400


async def test_freshness_takes_retries_that_grew_old_for_no_slow_source() -> None:
    """Records that come back one by one, each too old by then and read again slowly, are worked on to the end."""
    tries: Counter[int] = Counter()

    async def process(row: Row) -> Any:
        tries[row.id] += 1
        await asyncio.sleep(0.2)
        raise Transient("again")

    source = Rows(range(30))
    source.again_s = 2
    limits = Limits(concurrency=1, max_age=10)
    await engine_over(source, process, limits=limits, retry=Steady(attempts=4, first=14)).work()
    assert set(tries.values()) == {4}


async def test_freshness_gets_through_pauses_that_outlast_max_age() -> None:
    """Retries and pauses longer than max_age, over and over, are not mistaken for a slow source; pages grow back."""

    async def process(row: Row) -> Any:
        if row.id % 100 == 50 and now() - paused_at[-1] > 20:
            paused_at.append(now())
            raise Throttled("slow down", 15)
        if row.id % 10 == 3 and row.id not in again:
            again.add(row.id)
            raise Transient("again")
        await asyncio.sleep(0.01)
        return done()

    paused_at, again = [-100.0], set[int]()
    source = Rows(range(12_000), delay_s=0.3)
    limits = Limits(concurrency=10, page_size=200, max_age=10)
    engine = engine_over(source, process, limits=limits, retry=Retry(attempts=9, first=14, longest=14))
    await engine.work()
    assert len(paused_at) > 5
    assert engine.ledger.saved.done == 12_000
    assert source.sizes[-1] > 20


@pytest.mark.parametrize("at_most", [1, 99, 100, 101, 250])
async def test_freshness_works_on_just_max_records(at_most: int) -> None:
    """With a most number of records exactly so many are worked on, with pages read anew too."""
    throttles = iter([Throttled("slow down", 60), Throttled("slow down", 60)])

    async def process(row: Row) -> Any:
        if row.id % 70 == 0 and (error := next(throttles, None)):
            raise error
        return done()

    source, sink = Rows(range(1_000)), Batches()
    limits = Limits(concurrency=3, page_size=100, max_age=10)
    engine = engine_over(source, process, sink, limits=limits, max_records=at_most)
    await engine.work()
    assert sorted(sink.ids()) == list(range(at_most))
    assert engine.complete
    assert engine.supply.read == at_most
