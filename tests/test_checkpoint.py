"""THE property of a checkpoint: cursor and open keys, replayed, work on every record exactly once over all attempts."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fakes import Batches, Row, Rows, adds_up, engine_over, virtually
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import LeaseLost, Permanent, Throttled, Transient
from worker.ledger import Batch
from worker.limits import Limits, Rate
from worker.outcome import done, skipped
from worker.retry import Retry
from worker.stop import Stop
from worker.tally import Tally

_MOST_ATTEMPTS = 40


@dataclass(frozen=True)
class World:
    """What a run meets: how many records, how big everything is, and a seed for all that happens."""

    records: int
    limits: Limits
    attempts: int
    commit_s: float
    page_s: float
    seed: int


WORLDS = st.builds(
    World,
    records=st.integers(0, 150),
    limits=st.builds(
        Limits,
        concurrency=st.integers(1, 8),
        rate=st.sampled_from([None, Rate(20), Rate(5, per=0.1)]),
        page_size=st.integers(1, 40),
        max_age=st.sampled_from([None, 1.0, 4.0]),
        record_timeout=st.sampled_from([0.5, 60.0]),
    ),
    attempts=st.integers(1, 3),
    commit_s=st.sampled_from([0.0, 0.05, 1.5]),
    page_s=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 2**32),
)
STOPS = st.lists(st.tuples(st.sampled_from(["stop", "twice", "kill", "lease"]), st.floats(0, 6)), max_size=6)


def fate(world: World, chance: random.Random) -> Any:
    """Make a process that does anything that may happen to a record, each time anew."""

    async def process(row: Row) -> Any:
        await asyncio.sleep(chance.choice([0, 0, 0.01, 0.2, 0.9]))
        luck = chance.random()
        if luck < 0.15:
            raise Transient("again")
        if luck < 0.2:
            raise Permanent("never")
        if luck < 0.23:
            raise Throttled("slow down", chance.choice([0.1, 3.0]))
        return skipped("same") if luck < 0.4 else done(row.id)

    return process


async def attempt(
    world: World, chance: random.Random, source: Rows, last: Batch | None, how: str, at: float
) -> Batches:
    """Make an attempt that goes on from a batch, and ends as it is told; give what it committed."""
    stop, sink = Stop(), Batches(delay_s=world.commit_s)
    engine = engine_over(
        source,
        fate(world, chance),
        sink,
        limits=world.limits,
        retry=Retry(attempts=world.attempts, first=0.3, longest=1),
        after=last.cursor if last else None,
        open_keys=last.open_keys if last else [],
        stop=stop,
    )
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(engine.work())
    if how == "lease":
        loop.call_later(at, engine.fail, LeaseLost("taken over"))
    elif how == "kill":
        loop.call_later(at, working.cancel)
    else:
        loop.call_later(at, stop.ask, "SIGTERM")
        if how == "twice":
            loop.call_later(at + 0.1, stop.ask, "SIGTERM")
    [end] = await asyncio.gather(working, return_exceptions=True)
    assert end is None or isinstance(end, (asyncio.CancelledError, LeaseLost))
    assert adds_up(engine)
    check_counts(sink.all)
    return sink


def check_counts(batches: Sequence[Batch]) -> None:
    """Hold the tally of each commit to the sum of what was committed and to what is still open."""
    results = failed = 0
    for batch in batches:
        results += len(batch.results)
        failed += len(batch.dead_letters)
        assert batch.tally.done == results
        assert batch.tally.failed == failed
        assert batch.tally.unfinished >= len(batch.open_keys) >= len({key[0] for key in batch.open_keys})


@settings(deadline=None)  # a busy machine is no failure
@given(world=WORLDS, stops=STOPS)
def test_checkpoint_forgets_nothing_and_repeats_nothing(world: World, stops: list[tuple[str, float]]) -> None:
    """For any order of completion, failures, retries, re-reads and ends: each record is in one commit, once."""

    async def scenario() -> None:
        chance = random.Random(world.seed)
        source = Rows(range(world.records), delay_s=world.page_s)
        batches: list[Batch] = []
        total = Tally()
        for how, at in [*stops, ("stop", 1e6)]:
            sink = await attempt(world, chance, source, batches[-1] if batches else None, how, at)
            batches += sink.all
            if sink.all:
                total = total.plus(sink.last.tally)
        worked = Counter(result.record["id"] for batch in batches for result in batch.results)
        worked += Counter(letter.key[0] for batch in batches for letter in batch.dead_letters)
        assert set(worked.values()) <= {1}
        assert total.done + total.failed == len(worked)
        assert total.finished == world.records
        assert not batches[-1].open_keys

    virtually(scenario())
