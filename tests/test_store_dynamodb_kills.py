"""worker/store/dynamodb.py: killed at any of its calls, or left without the answer, it loses nothing and counts nothing twice."""

import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aws import Aws
from examples import a_summary
from store_worlds import StoreWorld
from stored import a_claim, a_letter

from worker.claim import Claim, Granted, Held, Over
from worker.errors import Transient
from worker.job import Result
from worker.ledger import Batch
from worker.store.dynamodb import DynamoStore
from worker.store.table import Table
from worker.store.table_making import migrate
from worker.store.table_reading import TableReader
from worker.tally import Tally
from worker.verdict import Verdict

RECORDS = 6


class Killed(Exception):
    """The process is gone."""


class CutTable(Table):
    """A table that is cut off at one of its calls: before it is sent, or when its answer comes."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "test")
        self.calls = 0
        self.cut: tuple[int, str, Exception] | None = None

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call, unless cut."""
        self.calls += 1
        number, when, error = self.cut or (0, "", None)
        if error is not None and number == self.calls and when == "before":
            raise error
        answer = await super().call(operation, **arguments)
        if error is not None and number == self.calls and when == "after":
            raise error
        return answer

    def cut_at(self, number: int, when: str, error: Exception) -> None:
        """Cut that call, counted from now on."""
        self.calls, self.cut = 0, (number, when, error)

    @property
    def was_cut(self) -> bool:
        """Tell whether the call came."""
        return self.cut is not None and self.calls >= self.cut[0]


@pytest.fixture
async def table(aws: Aws) -> AsyncIterator[CutTable]:
    """Give a run store's table."""
    async with CutTable(f"runs-{secrets.token_hex(4)}") as table:
        await migrate(table)
        yield table


async def patiently(call: Any) -> Any:
    """Call until it answers, as the engine does."""
    while True:
        try:
            return await call()
        except Transient:
            continue


async def work(store: DynamoStore, claim: Claim) -> bool:
    """Work on six records of which each second fails, or on those again; tell whether the run has succeeded."""
    answer = await patiently(lambda: store.claim(claim))
    if isinstance(answer, Held):
        held = answer
        answer = await patiently(lambda: store.claim(claim, successor_of=held))
    if isinstance(answer, Over):
        return True
    assert isinstance(answer, Granted), answer
    verdict = await (_replay(store) if answer.replay else _work(store, answer))
    tally = Tally()
    await patiently(lambda: store.end(a_summary(verdict, tally=tally, errors=())))
    return False


async def _work(store: DynamoStore, granted: Granted) -> Verdict:
    tally, first = Tally(), granted.cursor[0] if granted.cursor else 0
    for number in range(first + 1, RECORDS, 2):
        tally = tally.plus(Tally(read=2, done=1, failed=1))
        results = [Result({"id": number}, "done")]
        batch = Batch(results, [a_letter(number + 1)], [number + 1], [], tally)
        await _commit(store, batch)
    return Verdict.COMPLETED_WITH_FAILURES


async def _replay(store: DynamoStore) -> Verdict:
    """Mend the dead letters one after the other, of which the last is gone."""
    tally = Tally()
    for number, key in enumerate(await patiently(lambda: store.letters(None, 10))):
        gone = key == [RECORDS]
        tally = tally.plus(Tally(read=1, skipped={"gone": 1}) if gone else Tally(read=1, done=1))
        if gone:
            await patiently(lambda key=key: store.mend([key]))
        await _commit(store, Batch([], [], None, [], tally, mended=[] if gone else [key]))
        assert number < RECORDS
    return Verdict.SUCCEEDED


async def _commit(store: DynamoStore, batch: Batch) -> None:
    writer = StoreWorld([], None).writer()  # type: ignore[arg-type]  # nothing is read by it
    await patiently(lambda: store.commit(batch, "id", writer))


async def hold(table: CutTable, claim: Claim) -> Tally:
    """Hold that there are as many dead letters as the run counts failures; give its counts."""
    reader = TableReader(table)
    run = await reader.find(claim.run_id)
    assert run is not None
    tally = Tally.from_json(run.tally)
    letters = await reader.dead_letters(claim.run_id, 100)
    assert len(letters) == tally.failed
    assert all(letter.tries == 1 for letter in letters)
    return tally


async def undisturbed(table: CutTable) -> int:
    """Give how many calls a run takes to its end."""
    claim = a_claim("undisturbed")
    table.calls = 0
    while not await work(DynamoStore(table), claim):
        pass
    return table.calls


async def trial(table: CutTable, number: int, when: str, error: Exception) -> None:
    """Cut a run at one call, and hold that it comes to the same end."""
    claim = a_claim(f"{type(error).__name__}-{when}-{number}")
    table.cut_at(number, when, error)
    over = False
    while not over:
        try:
            over = await work(DynamoStore(table), claim)
        except Killed:
            table.cut = None
            if (await TableReader(table).find(claim.run_id)) is not None:
                await hold(table, claim)
    assert await hold(table, claim) == Tally(read=RECORDS, done=5, skipped={"gone": 1})


@pytest.mark.parametrize("error", [Killed(), Transient("no answer")], ids=["killed", "no answer"])
async def test_dynamodb_cut_at_some_calls(table: CutTable, error: Exception) -> None:
    """At every third call, after it was done and before it is sent, in turn."""
    calls = await undisturbed(table)
    assert calls >= 30
    for number in range(1, calls, 3):
        await trial(table, number, "after" if number % 2 else "before", error)


@pytest.mark.soak
@pytest.mark.parametrize("error", [Killed(), Transient("no answer")], ids=["killed", "no answer"])
async def test_dynamodb_cut_at_every_call(table: CutTable, error: Exception) -> None:
    """Before it is sent, and after it was done."""
    for number in range(1, await undisturbed(table)):
        for when in ("before", "after"):
            await trial(table, number, when, error)
