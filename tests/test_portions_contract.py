"""Shared rate limits, kept by every run store."""

import asyncio
import logging
from dataclasses import replace

from store_worlds import StoreWorld

from worker.limits import Rate
from worker.portions import Ask
from worker.rate import RateLimit
from worker.sharing import Sharing

RATE = Rate(200, name="stripe", shared=True)


def sharing(world: StoreWorld, place: int, rate: Rate = RATE) -> tuple[Sharing, RateLimit]:
    limit = RateLimit(rate)
    return Sharing(rate, limit, world.portions[place], logging.getLogger("job")), limit


def asking(holder: str, number: int) -> Ask:
    return Ask(holder=holder, number=number, count=200, per=1.0, portion=0, wants=200)


async def test_portions_pass_from_task_to_task(run_store: StoreWorld) -> None:
    """The first has all, gives half of it to the second when it asks again, and leaves it the rest at its end."""
    (first, one), (second, two) = sharing(run_store, 0), sharing(run_store, 1)
    await first.ask()
    assert (one.portion, first.portion) == (200, 200)
    assert await second.ask() < 1, "it is to look again soon"
    assert two.portion == 0
    await first.ask()
    await second.ask()
    assert (one.portion, two.portion) == (100, 100)
    await first.leave()
    await second.ask()
    assert (one.portion, two.portion) == (0, 200)


async def test_portions_of_those_who_ask_at_once_are_never_more_than_the_limit(run_store: StoreWorld) -> None:
    """However they meet."""
    tasks = [sharing(run_store, place) for place in range(4)]
    for _ in range(3):
        await asyncio.gather(*(task.ask() for task, _ in tasks))
        assert sum(limit.portion for _, limit in tasks) <= 200
    assert [limit.portion for _, limit in tasks] == [50] * 4


async def test_portions_of_different_names_are_apart(run_store: StoreWorld) -> None:
    """Two limits, two ledgers."""
    (first, one), (second, two) = sharing(run_store, 0), sharing(run_store, 1, Rate(50, name="other", shared=True))
    await asyncio.gather(first.ask(), second.ask())
    assert (one.portion, two.portion) == (200, 50)


async def test_portion_that_changes_hands_is_not_used_twice(run_store: StoreWorld) -> None:
    """All of it was taken right before it was given back: whoever gets it has to wait for a window."""
    portions, full = run_store.portions, ((0.0, 200.0),)
    await portions[0].settle("stripe", asking("a", 1))
    await portions[0].settle("stripe", replace(asking("a", 2), given=full, leaving=True))
    grant = await portions[1].settle("stripe", asking("b", 1))
    assert grant.portion == 200
    assert sum(permits for age, permits in grant.taken if age < 0.5) == 200
