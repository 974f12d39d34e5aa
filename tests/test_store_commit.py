"""worker/store/postgres.py and worker/writing.py: a page commit writes each result once, or says why not."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import pytest
from stored import AT, Payments, a_batch, a_claim, a_letter, do, granted, row_of, rows_of

from worker.claim import Held
from worker.database import Link
from worker.errors import LeaseLost, Transient
from worker.job import Result
from worker.ledger import Batch, Committed, corrected
from worker.store.postgres import PostgresStore
from worker.tally import Tally
from worker.writing import Writer


@pytest.fixture
async def payments(store_url: str, link: Link) -> Payments:
    """Give a hundred old payments, and a store that was granted a run of them."""
    payments = Payments(link, PostgresStore(link))
    await payments.create()
    await granted(payments.store)
    return payments


async def saved(link: Link) -> Tally:
    """Give the tally in the run's row."""
    row = await row_of(link, "SELECT tally::text AS tally FROM worker.runs")
    return Tally.from_json(msgspec.json.decode(row["tally"]))


async def letters(link: Link) -> dict[int, tuple[str, int]]:
    """Give type and tries of the dead letters, by key."""
    rows = await rows_of(link, "SELECT (key->>0)::int AS id, type, tries FROM worker.dead_letters ORDER BY id")
    return {row["id"]: (row["type"], row["tries"]) for row in rows}


async def test_commit_writes_results_and_checkpoint_together(payments: Payments, link: Link) -> None:
    """Each result once; cursor, open keys, tally and the commit's number in the run's row."""
    batch = a_batch({1: "done", 2: "done"}, a_letter(3), cursor=3)
    batch.open_keys.append([2])
    assert await payments.store.commit(batch, "id", payments.writer) == Committed(1)
    assert await payments.written() == {1: ("done", 1), 2: ("done", 1)}
    run = await row_of(link, "SELECT source, cursor::text, open_keys::text, commits FROM worker.runs")
    assert tuple(run) == ("id", "[3]", "[[2]]", 1)
    assert await saved(link) == batch.tally
    assert await letters(link) == {3: ("Refused", 1)}


async def test_commit_renews_the_lease(payments: Payments, link: Link) -> None:
    """A page is a sign of life."""
    before = await row_of(link, "SELECT heartbeat_at, lease_until FROM worker.runs")
    await payments.store.commit(a_batch({}), "id", payments.writer)
    after = await row_of(link, "SELECT heartbeat_at, lease_until FROM worker.runs")
    assert after > before


async def test_commit_counts_what_had_changed_meanwhile(payments: Payments, link: Link) -> None:
    """What the compare-and-set left alone is skipped, in the answer and in the row."""
    await do(link, "UPDATE payments SET status = 'paid by hand' WHERE id IN (2, 3)")
    batch = a_batch({1: "done", 2: "done", 3: "done"})
    committed = await payments.store.commit(batch, "id", payments.writer)
    assert committed == Committed(1, changed=2)
    assert await saved(link) == corrected(batch.tally, committed) == Tally(3, 1, 0, {"changed meanwhile": 2})


async def test_commit_tally_is_the_sum_over_attempts(payments: Payments, link: Link, store_url: str) -> None:
    """The row holds what all attempts have finished, each told by its own."""
    await payments.store.commit(a_batch({1: "done"}, a_letter(2)), "id", payments.writer)
    first = Tally(read=2, done=1, failed=1)
    await payments.store.commit(a_batch({3: "done"}, before=first), "id", payments.writer)
    held = await payments.store.claim(a_claim())
    assert isinstance(held, Held)
    async with Link(store_url, "second") as other:
        second = PostgresStore(other)
        await second.claim(a_claim(), successor_of=held)
        await second.commit(a_batch({4: "done", 5: "done"}), "id", payments.writer)
    assert await saved(link) == Tally(read=5, done=4, failed=1)


async def test_commit_of_a_deposed_attempt_writes_nothing(payments: Payments, link: Link, store_url: str) -> None:
    """Neither results nor dead letters nor checkpoint, and `write` is not even called."""
    held = await payments.store.claim(a_claim())
    assert isinstance(held, Held)
    async with Link(store_url, "second") as other:
        await PostgresStore(other).claim(a_claim(), successor_of=held)
    before = await row_of(link, "SELECT * FROM worker.runs")
    with pytest.raises(LeaseLost, match="this page is not committed"):
        await payments.store.commit(a_batch({1: "done"}, a_letter(2)), "id", payments.writer)
    assert (await payments.written(), await letters(link), payments.writes) == ({}, {}, 0)
    assert await row_of(link, "SELECT * FROM worker.runs") == before


async def test_commit_dead_letters_keep_first_time_and_all_tries(payments: Payments, link: Link) -> None:
    """A record that fails again has one letter: its last error, its first time, all its tries."""
    later = AT.replace(year=2027)
    await payments.store.commit(a_batch({}, a_letter(1, tries=3)), "id", payments.writer)
    again = a_letter(1, tries=2, type="Other", message="again \0", first_at=later, last_at=later)
    await payments.store.commit(a_batch({}, again), "id", payments.writer)
    letter = await row_of(link, "SELECT type, message, tries, first_at, last_at FROM worker.dead_letters")
    assert tuple(letter) == ("Other", "again \ufffd", 5, AT, later)


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        ("bad", "CheckViolationError"),
        ("nul\0", "CharacterNotInRepertoireError"),
        (None, "AttributeError"),
        ("closed \ud800", "DataError"),
    ],
)
@pytest.mark.parametrize("places", [[1], [1, 2], [4, 7], [8]], ids=str)
async def test_commit_finds_the_refused_by_halves(
    payments: Payments, link: Link, poison: Any, error: str, places: list[int]
) -> None:
    """Each result that cannot be written becomes a dead letter; all others of the page are written once."""
    batch = a_batch({number: poison if number in places else "done" for number in range(1, 9)}, a_letter(50))
    committed = await payments.store.commit(batch, "id", payments.writer)
    assert sorted(letter.key for letter in committed.refused) == [[place] for place in places]
    others = {number: ("done", 1) for number in range(1, 9) if number not in places}
    assert await payments.written() == others
    assert await letters(link) == {**dict.fromkeys(places, (error, 1)), 50: ("Refused", 1)}
    assert await saved(link) == Tally(read=9, done=len(others), failed=1 + len(places))
    assert payments.writes <= 1 + 2 * len(places) * 4


async def test_commit_finds_what_is_refused_at_commit_alone(payments: Payments, link: Link) -> None:
    """A constraint that is checked at COMMIT (Django's foreign keys) does not end the run: the result that breaks it does."""
    await do(link, "CREATE TABLE known (status text PRIMARY KEY); INSERT INTO known VALUES ('old'), ('done')")
    await do(link, "ALTER TABLE payments ADD FOREIGN KEY (status) REFERENCES known DEFERRABLE INITIALLY DEFERRED")
    committed = await payments.store.commit(a_batch({1: "done", 2: "what?", 3: "done"}), "id", payments.writer)
    assert [(letter.key, letter.type) for letter in committed.refused] == [([2], "ForeignKeyViolationError")]
    assert await payments.written() == {1: ("done", 1), 3: ("done", 1)}


async def test_commit_by_halves_still_lets_constraints_wait(payments: Payments, link: Link) -> None:
    """A write that satisfies a deferred constraint with its last statement may do so beside a refused result too."""
    await do(link, "CREATE TABLE known (status text PRIMARY KEY); INSERT INTO known VALUES ('old')")
    await do(link, "ALTER TABLE payments ADD FOREIGN KEY (status) REFERENCES known DEFERRABLE INITIALLY DEFERRED")

    async def write(results: Sequence[Result], connection: "asyncpg.Connection[Any]") -> list[Any]:
        written = await payments.write(results, connection)
        added = [(result.value,) for result in results]
        await connection.executemany("INSERT INTO known VALUES ($1) ON CONFLICT DO NOTHING", added)
        return written

    writer = Writer(write, payments.letter, payments.store.is_refusal)
    committed = await payments.store.commit(a_batch({1: "a", 2: "bad", 3: "c", 4: "d"}), "id", writer)
    assert [letter.key for letter in committed.refused] == [[2]]
    assert await payments.written() == {1: ("a", 1), 3: ("c", 1), 4: ("d", 1)}


async def test_commit_raises_what_is_nobodys_fault(payments: Payments, link: Link) -> None:
    """A column that is not there is not a result's fault: nothing is written, no letter made."""
    await do(link, "ALTER TABLE payments RENAME COLUMN status TO state")
    before = await row_of(link, "SELECT * FROM worker.runs")
    with pytest.raises(asyncpg.UndefinedColumnError):
        await payments.store.commit(a_batch({1: "done"}), "id", payments.writer)
    assert payments.writes == 1
    assert await row_of(link, "SELECT * FROM worker.runs") == before


async def test_commit_passes_on_what_write_calls_transient(payments: Payments) -> None:
    """A write that asks for another try gets it, with the same batch."""
    batch = a_batch({1: "done"})

    async def write(results: Sequence[Result], connection: Any) -> Any:
        if payments.writes == 0:
            payments.writes += 1
            raise Transient("not now")
        return await payments.write(results, connection)

    writer = Writer(write, payments.letter, payments.store.is_refusal)
    with pytest.raises(Transient, match="not now"):
        await payments.store.commit(batch, "id", writer)
    assert await payments.store.commit(batch, "id", writer) == Committed(1)
    assert await payments.written() == {1: ("done", 1)}


async def test_commit_without_a_write_is_a_checkpoint(payments: Payments, link: Link) -> None:
    """A job without `write` keeps its counts."""
    writer = Writer(None, payments.letter, payments.store.is_refusal)
    batch = Batch([], [], [9], [], Tally(read=9, done=9, skipped={"a\0b": 0}))
    assert await payments.store.commit(batch, "id", writer) == Committed(1)
    assert (await saved(link)).done == 9
