"""Tasks that share a rate limit, in virtual time: never above it together, and it is used."""

import asyncio
import logging
from math import inf

import pytest
from fakes import now, virtually
from hypothesis import given, settings
from hypothesis import strategies as st
from test_rate import most_in_a_window

from worker.errors import Permanent, Transient
from worker.limits import Rate
from worker.portions import LEASE_S, Ask, Grant, Ledger, fill, settle
from worker.rate import RateLimit
from worker.sharing import Sharing

LOG = logging.getLogger("job")


class Store:
    """A run store of one ledger, whose answers take their time, are lost, or do not come at all."""

    def __init__(self, delay: float = 0.01, ahead: float = 1e9) -> None:
        self.ledger, self.delay, self.ahead = Ledger(), delay, ahead
        self.away, self.lost = False, 0

    async def settle(self, name: str, ask: Ask) -> Grant:
        """Settle the one ledger, as late as `delay` says: where an answer is lost, it is settled all the same."""
        await asyncio.sleep(self.delay)
        if self.away:
            raise Transient("away")
        self.ledger, grant = settle(self.ledger, ask, now() + self.ahead)
        await asyncio.sleep(self.delay)
        if self.lost:
            self.lost -= 1
            raise Transient("lost")
        return grant


class Task:
    """Works as fast as it may, or as it can, until it is told to end; `sent` is when it did."""

    def __init__(self, rate: Rate, store: Store, sent: list[float], pace: float = inf) -> None:
        self.limit = RateLimit(rate, now)
        self.sharing = Sharing(rate, self.limit, store, LOG, now)
        self._sent, self._pace = sent, pace
        self.mine = 0
        self._parts = [asyncio.create_task(part) for part in (self.sharing.keep(), self._work())]

    async def _work(self) -> None:
        while True:
            await self.limit.acquire()
            self._sent.append(now())
            self.mine += 1
            if self._pace < inf:
                await asyncio.sleep(1 / self._pace)

    async def kill(self) -> None:
        """End at once and tell nobody."""
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)

    async def end(self) -> None:
        """End, and give back what it had."""
        await self.kill()
        await self.sharing.leave()


def used(sent: list[float], since: float, until: float) -> float:
    """Give the calls a second between two moments."""
    return len([at for at in sent if since <= at < until]) / (until - since)


@pytest.mark.looptime
async def test_sharing_uses_the_limit_while_tasks_come_and_go() -> None:
    """Four tasks, then two: 95 % from the first second to the last, and never a call too many."""
    sent: list[float] = []
    store, rate = Store(), Rate(200, name="stripe", shared=True)
    tasks = [Task(rate, store, sent) for _ in range(4)]
    await asyncio.sleep(20)
    assert [task.limit.portion for task in tasks] == [50] * 4
    for task in tasks[:2]:
        await task.end()
    await asyncio.sleep(10)
    assert [task.limit.portion for task in tasks] == [0, 0, 100, 100]
    began = now() - 30
    assert used(sent, began, now()) >= 0.95 * 200
    assert used(sent, now() - 10, now()) >= 0.95 * 200
    assert most_in_a_window(sent, 1) <= 200
    for task in tasks[2:]:
        await task.end()
    assert store.ledger.holders == {}


@pytest.mark.looptime
async def test_sharing_costs_nothing_where_nobody_else_is() -> None:
    """A task alone uses as much as it would of a limit of its own; with another, both leave a little room for each other."""
    sent: list[float] = []
    store, rate = Store(), Rate(200, name="stripe", shared=True)
    task = Task(rate, store, sent)
    await asyncio.sleep(20)
    assert used(sent, now() - 18, now()) >= 0.99 * 200
    other = Task(rate, store, sent)
    await asyncio.sleep(20)
    assert 0.98 * 200 <= used(sent, now() - 18, now()) < 0.99 * 200
    assert most_in_a_window(sent, 1) <= 200
    await asyncio.gather(task.end(), other.end())


@pytest.mark.looptime
async def test_sharing_follows_demand() -> None:
    """Who needs little keeps little: the others have the rest within two seconds."""
    sent: list[float] = []
    store, rate = Store(), Rate(200, name="stripe", shared=True)
    slow, fast = Task(rate, store, sent, pace=10), Task(rate, store, sent)
    await asyncio.sleep(4)
    assert slow.limit.portion < 20
    before = fast.mine
    await asyncio.sleep(10)
    assert fast.mine - before > 0.95 * 1_800
    assert slow.mine > 0.9 * 10 * 13
    await asyncio.gather(slow.end(), fast.end())


@pytest.mark.looptime
async def test_sharing_keeps_the_last_portion_while_the_store_is_away() -> None:
    """For as long as nobody else can be given it, and none after that; when the store is back, it goes on."""
    sent: list[float] = []
    store, rate = Store(), Rate(200, name="stripe", shared=True)
    tasks = [Task(rate, store, sent) for _ in range(2)]
    await asyncio.sleep(5)
    store.away, since = True, now()
    await asyncio.sleep(LEASE_S - 4)
    assert used(sent, since, now()) >= 0.95 * 200
    await asyncio.sleep(10)
    assert used(sent, since + LEASE_S, now()) == 0
    store.away, since = False, now()
    await asyncio.sleep(10)
    assert used(sent, since + 3, now()) >= 0.95 * 200
    assert most_in_a_window(sent, 1) <= 200
    for task in tasks:
        await task.kill()


@pytest.mark.looptime
async def test_sharing_leaves_the_portion_of_a_killed_task_to_others_once_its_lease_is_over() -> None:
    """And not before: who was cut off from the store may be using it still."""
    sent: list[float] = []
    store, rate = Store(), Rate(200, name="stripe", shared=True)
    killed, other = Task(rate, store, sent), Task(rate, store, sent)
    await asyncio.sleep(5)
    await killed.kill()
    await asyncio.sleep(LEASE_S - 5)
    assert other.limit.portion == 100
    await asyncio.sleep(10)
    assert other.limit.portion == 200
    assert most_in_a_window(sent, 1) <= 200
    await other.end()


@pytest.mark.looptime
async def test_sharing_says_for_how_long_a_successor_waits_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """The task that was killed had all: its lease is waited for, and no longer."""
    caplog.set_level(logging.INFO)
    store, rate = Store(), Rate(200, name="stripe", shared=True)
    killed = Task(rate, store, [])
    await asyncio.sleep(5)
    await killed.kill()
    since = now()
    await Sharing(rate, RateLimit(rate, now), store, LOG, now).first()
    assert LEASE_S - 5 < now() - since < LEASE_S + 5
    assert f"what a dead one had is free within {LEASE_S:g} s" in caplog.text


@pytest.mark.looptime
async def test_sharing_holds_the_lowest_limit_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    """Two jobs that declare different limits under one name keep the lower one."""
    sent: list[float] = []
    store = Store()
    tasks = [Task(Rate(count, name="stripe", shared=True), store, sent) for count in (200, 60)]
    await asyncio.sleep(5)
    assert [task.limit.portion for task in tasks] == [30, 30]
    assert "jobs at work declare from 60 to 200 a second: the lowest holds" in caplog.text
    odd = Rate(600, per=60, name="stripe", shared=True)
    asking = Sharing(odd, RateLimit(odd, now), store, LOG, now)
    with pytest.raises(Permanent, match="declare the same limit in all jobs"):
        await asking.ask()
    for task in tasks:
        await task.end()


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["start", "end", "kill", "away", "back", "lose", "slow"]), st.integers(0, 9), st.floats(0, 4)
    ),
    min_size=2,
    max_size=15,
)


@settings(deadline=None, max_examples=12)
@given(events=EVENTS, count=st.integers(1, 12), per=st.sampled_from([0.5, 1.0, 5.0]), delay=st.floats(0, 0.3))
def test_sharing_never_exceeds_the_limit(
    events: list[tuple[str, int, float]], count: int, per: float, delay: float
) -> None:
    """Whoever comes, goes, dies or is cut off, whatever answer is lost: no window of all tasks' calls is above the limit."""

    async def scenario() -> None:
        sent: list[float] = []
        store, rate = Store(delay), Rate(count, per=per, name="stripe", shared=True)
        tasks = [Task(rate, store, sent)]
        for event, which, seconds in events:
            task = tasks[which % len(tasks)]
            if event in ("start", "slow") and len(tasks) < 6:
                tasks.append(Task(rate, store, sent, pace=inf if event == "start" else 3))
            elif event == "end":
                await task.end()
            elif event == "kill":
                await task.kill()
            store.away = event == "away" or (store.away and event != "back")
            store.lost += event == "lose"
            held = sum(holder.portion for holder in store.ledger.holders.values())
            assert held <= count
            await asyncio.sleep(seconds * (18 if event == "kill" else 1))
        store.away, store.lost, since = False, 0, now()
        last = Task(rate, store, sent)
        await asyncio.sleep(LEASE_S + 5 * per + 5)
        for task in tasks:
            await task.kill()
        assert most_in_a_window(sent, per) <= count
        await last.end()
        assert [at for at in sent if at > since]

    virtually(scenario())


@given(limit=st.integers(1, 1000), wants=st.dictionaries(st.text(max_size=3), st.integers(0, 1500), min_size=1))
def test_fill_shares_all_of_it(limit: int, wants: dict[str, int]) -> None:
    """Nothing is left over, nobody gets less than who wants less, and equals get equal parts but for one."""
    parts = fill(limit, wants)
    assert sum(parts.values()) == limit
    assert min(parts.values()) >= 0
    hungry = [parts[name] for name in wants if parts[name] < wants[name]]
    assert not hungry or max(parts.values()) - min(hungry) <= 1
