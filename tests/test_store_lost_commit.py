"""worker/store/postgres.py: a COMMIT whose answer never came is looked up, and redone only when it did not happen."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from stored import Payments, a_batch, a_claim, a_letter, do, granted, row_of, rows_of

from worker.claim import Held
from worker.database import Link
from worker.errors import LeaseLost, Transient
from worker.ledger import Batch, Committed, corrected
from worker.store.postgres import PostgresStore
from worker.tally import Tally
from worker.testing.proxy import Proxy

COMMIT = b"COMMIT;"


@pytest.fixture
async def proxy(store_url: str) -> AsyncIterator[Proxy]:
    """Give a proxy before the database."""
    async with Proxy(store_url) as proxy:
        yield proxy


@pytest.fixture
async def payments(proxy: Proxy, link: Link) -> AsyncIterator[Payments]:
    """Give a hundred old payments, and a store behind the proxy that was granted a run of them."""
    async with Link(proxy.url, "store") as far:
        payments = Payments(link, PostgresStore(far))
        await payments.create()
        await granted(payments.store)
        yield payments


async def stubborn(payments: Payments, batch: Batch) -> Committed:
    """Commit a batch as the engine does: again after Transient. The first try is cut."""
    with pytest.raises(Transient):
        await payments.store.commit(batch, "id", payments.writer)
    return await payments.store.commit(batch, "id", payments.writer)


async def held_to(payments: Payments, link: Link, batch: Batch, committed: Committed) -> None:
    """Hold that a batch was committed once, with counts that say what is in the tables, and that the next one goes on."""
    row = await row_of(link, "SELECT commits, tally::text AS tally FROM worker.runs")
    tally = Tally.from_json(msgspec.json.decode(row["tally"]))
    written = await payments.written()
    assert all(times == 1 for _, times in written.values())
    assert (row["commits"], tally) == (1, corrected(batch.tally, committed))
    assert tally.done == len(written)
    assert tally.failed == len(await rows_of(link, "SELECT * FROM worker.dead_letters"))
    following = a_batch({90: "done"}, before=corrected(batch.tally, committed))
    assert await payments.store.commit(following, "id", payments.writer) == Committed(2)
    assert (await payments.written())[90] == ("done", 1)


MIXED = {1: "done", 2: "bad", 3: "done", 4: "done"}


@pytest.mark.parametrize("values", [{1: "done", 2: "done", 4: "done"}, MIXED], ids=["all fine", "one refused"])
@pytest.mark.parametrize("changed", [False, True], ids=["", "one changed meanwhile"])
async def test_lost_commit_is_recognised(
    payments: Payments, proxy: Proxy, link: Link, values: dict[int, str], changed: bool
) -> None:
    """The server committed, the answer was cut: nothing is written again, and the counts are right."""
    if changed:
        await do(link, "ALTER TABLE payments DISABLE TRIGGER ALL; UPDATE payments SET status = 'x' WHERE id = 4")
        await do(link, "ALTER TABLE payments ENABLE TRIGGER ALL")
    cut = proxy.cut_after(COMMIT)
    batch = a_batch(values, a_letter(50))
    committed = await stubborn(payments, batch)
    assert cut.happened.is_set()
    assert values is MIXED or payments.writes == 1
    assert (committed.number, committed.changed, committed.lost_refusals) == (1, int(changed), int(values is MIXED))
    await held_to(payments, link, batch, committed)


@pytest.mark.parametrize("values", [{1: "done", 2: "done"}, MIXED], ids=["all fine", "one refused"])
async def test_lost_commit_that_never_arrived_is_redone(
    payments: Payments, proxy: Proxy, link: Link, values: dict[int, str]
) -> None:
    """The connection was cut before COMMIT reached the server: the page is written by the second try."""
    cut = proxy.cut_before(COMMIT)
    batch = a_batch(values, a_letter(50))
    committed = await stubborn(payments, batch)
    assert cut.happened.is_set()
    assert committed.refusals == int(values is MIXED)
    await held_to(payments, link, batch, committed)


async def test_lost_commit_at_any_message_is_committed_once(payments: Payments, proxy: Proxy, link: Link) -> None:
    """Wherever the connection is cut, the page is there once."""
    done = Tally()
    for nth in range(1, 40):
        batch = a_batch({nth: "done"}, before=done)
        cut = proxy.cut_before(b"", nth)
        try:
            await payments.store.commit(batch, "id", payments.writer)
        except Transient:
            await payments.store.commit(batch, "id", payments.writer)
        done = batch.tally
        if not cut.happened.is_set():
            break
    assert nth > 5, "a commit takes several messages"
    written = await payments.written()
    assert written == dict.fromkeys(range(1, nth + 1), ("done", 1))


async def test_lost_commit_under_way_is_waited_for(payments: Payments, proxy: Proxy, link: Link) -> None:
    """We are cut off while COMMIT is still on its way: the row's lock tells that the old transaction lives."""
    held = proxy.hold(COMMIT)
    batch = a_batch({1: "done", 2: "done"})
    with pytest.raises(Transient):
        await payments.store.commit(batch, "id", payments.writer)
    assert await payments.written() == {}
    again = asyncio.create_task(payments.store.commit(batch, "id", payments.writer))
    async with link.using() as connection:
        while not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
            assert not again.done()
    held.released.set()
    committed = await again
    assert payments.writes == 1
    await held_to(payments, link, batch, committed)


async def test_lost_commit_of_a_deposed_attempt_is_not_redone(
    payments: Payments, proxy: Proxy, link: Link, store_url: str
) -> None:
    """Who was succeeded while it was cut off has lost, whether its page got through or not."""
    proxy.cut_before(COMMIT)
    batch = a_batch({1: "done"})
    with pytest.raises(Transient):
        await payments.store.commit(batch, "id", payments.writer)
    successor = PostgresStore(link)
    held = await successor.claim(a_claim())
    assert isinstance(held, Held)
    await successor.claim(a_claim(), successor_of=held)
    with pytest.raises(LeaseLost):
        await payments.store.commit(batch, "id", payments.writer)
    assert await payments.written() == {}
