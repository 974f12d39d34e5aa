"""The run store's table: made once, checked at the start, pruned; and what DynamoDB alone needs of a store."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws import Aws
from examples import a_summary
from scripted import CUT, refused, reply, scripted
from store_worlds import StoreWorld, granted
from stored import a_batch, a_claim, a_letter
from test_launches import asked

from worker.claim import Held
from worker.cli import table as room
from worker.environment import Settings
from worker.errors import Faults, Permanent, Transient
from worker.launches import Known, Reserved
from worker.ledger import Batch
from worker.store.dynamodb import DynamoStore
from worker.store.table import Table
from worker.store.table_launches import TableLaunches
from worker.store.table_making import migrate
from worker.store.table_pruning import prune
from worker.store.table_reading import TableReader
from worker.tally import Tally
from worker.verdict import Verdict


@pytest.fixture
async def bare(aws: Aws) -> AsyncIterator[Table]:
    """Give the name of a table that is not there."""
    async with Table(f"runs-{secrets.token_hex(4)}", "test") as table:
        yield table


@pytest.fixture
async def table(bare: Table) -> Table:
    """Give an empty run store."""
    await migrate(bare)
    return bare


async def commit(store: DynamoStore, batch: Batch) -> Any:
    """Commit a page."""
    return await store.commit(batch, "id", StoreWorld([], None).writer())  # type: ignore[arg-type]


async def test_table_is_made_once(bare: Table) -> None:
    """On demand, with its indexes and its expiry; what is there already is left alone."""
    [fault] = await DynamoStore(bare).check()
    assert (
        fault
        == f"the run store's table '{bare.name}' (RUN_TABLE) is not there, or not whole: run python -m worker migrate"
    )
    found = Settings(run_table=bare.name)
    assert sorted(map(len, await asyncio.gather(room.made(found), room.made(found))))[1] >= 1
    assert await room.made(found) == []
    assert await DynamoStore(bare).check() == []
    described = (await bare.call("describe_table"))["Table"]
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert {index["IndexName"] for index in described["GlobalSecondaryIndexes"]} == {"runs-by-job", "runs-by-time"}


async def test_table_that_lacks_an_index_is_given_it(table: Table) -> None:
    """Whatever version made it."""
    await table.call("update_table", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "runs-by-job"}}])
    [fault] = await DynamoStore(table).check()
    assert "or not whole: run python -m worker migrate" in fault
    assert await migrate(table) == ["runs-by-job"]
    assert await DynamoStore(table).check() == []


async def test_table_of_something_else_is_refused(bare: Table) -> None:
    """Neither worked with nor changed."""
    await bare.call(
        "create_table",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert "is no run store" in (await DynamoStore(bare).check())[0]
    with pytest.raises(Faults, match="has the keys id, not pk and sk: name a table of its own"):
        await room.made(Settings(run_table=bare.name))


async def test_table_without_rights_says_what_to_allow(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation that a run needs is tried before any record is touched."""
    async with scripted(*[refused("AccessDeniedException")] * 4) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        async with Table("runs", "test") as table:
            faults = await DynamoStore(table).check()
    operations = ("GetItem", "PutItem", "UpdateItem", "Query")
    assert [fault.partition("allow ")[2] for fault in faults] == [
        f"dynamodb:{operation} on it and on its indexes" for operation in operations
    ]


async def test_table_that_throttles_is_waited_for(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttle and an answer that never came are Transient: the engine waits within DATABASE_BUDGET."""
    throttle = refused("ThrottlingException")
    async with scripted(throttle, reply(500, {"__type": "InternalServerError"}), CUT, throttle) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        async with Table("runs", "test") as table:
            for _ in range(3):
                with pytest.raises(Transient):
                    await DynamoStore(table).follow("x:y")
        with pytest.raises(Transient, match="Throttling"):
            async with room.reading(Settings(run_table="runs")) as reader:
                await reader.find("x:y")


async def test_reading_a_run_whose_holder_is_silent_for_long(table: Table) -> None:
    """It is shown as interrupted, and holds nothing; one that was heard of within a lease and a minute is running."""
    store, reader = DynamoStore(table), TableReader(table)
    await granted(store)
    for ago, status in ((70, "running"), (80, "interrupted")):
        heard = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
        await table.update(a_claim().run_id, "run", {"heartbeat_at": heard}, {})
        run = await reader.find(a_claim().run_id)
        assert run is not None
        assert (run.status, run.live, await reader.holder("poll-payments") is not None) == (
            status,
            status == "running",
            status == "running",
        )
    held = await store.claim(a_claim())
    assert isinstance(held, Held), "who may work is not decided by clocks"


async def test_follow_finds_that_a_holder_fell_silent(table: Table) -> None:
    """By watching it for one lease time; a sign of life begins that anew."""
    holder, watcher = DynamoStore(table), DynamoStore(table, lease_s=0.0)
    await granted(holder)
    assert await watcher.follow(a_claim().run_id) is None
    await holder.heartbeat()
    assert await watcher.follow(a_claim().run_id) is None
    assert await watcher.follow(a_claim().run_id) is Verdict.INTERRUPTED


async def test_commit_of_too_many_open_keys_says_what_to_lower(table: Table) -> None:
    """An item holds 400 KB: what does not fit is refused before it is sent, and nothing is lost."""
    store = DynamoStore(table)
    await granted(store)
    await commit(store, a_batch({1: "done"}))
    keys = [[secrets.token_hex(500)] for _ in range(1_000)]
    with pytest.raises(Permanent, match=r"1,000 open keys take .* lower WORKER_CONCURRENCY and WORKER_PAGE_SIZE"):
        await commit(store, Batch([], [], [2], keys, Tally()))
    assert (await commit(store, Batch([], [], [2], keys[:200], Tally()))).number == 2


async def test_letters_of_long_keys_are_kept_apart(table: Table) -> None:
    """A sort key holds 1,024 bytes; S3's keys alone may have as many."""
    store, long = DynamoStore(table), "ü" * 600
    await granted(store)
    await commit(store, a_batch({}, a_letter(f"{long}1"), a_letter(f"{long}2"), a_letter(-1)))
    found = await TableReader(table).dead_letters(a_claim().run_id, 10)
    assert sorted(str(letter.key[0])[-1] for letter in found) == ["1", "1", "2"]


async def test_end_of_many_words_fits_into_an_item(table: Table) -> None:
    """Of a summary with more failures than an item holds the largest groups are kept."""
    store = DynamoStore(table)
    await granted(store)
    [error] = a_summary().errors
    errors = tuple(replace(error, message=secrets.token_hex(2_000)) for _ in range(400))
    await store.end(a_summary(Verdict.ABORTED, errors=errors))
    run = await TableReader(table).find(a_claim().run_id)
    assert run is not None
    assert run.summary is not None
    assert len(run.summary["errors"]) == 20


async def test_prune_forgets_old_runs_and_no_others(table: Table) -> None:
    """With their attempts and dead letters; what is young, or held, stays."""
    store = DynamoStore(table)
    for key in ("old", "young", "held"):
        await granted(store, a_claim(key))
        await commit(store, a_batch({}, a_letter(1)))
        if key != "held":
            await store.end(a_summary(Verdict.SUCCEEDED))
    long_ago = (datetime.now(UTC) - timedelta(days=91)).isoformat()
    for key in ("old", "held"):
        changes = {"created_at": long_ago} | ({"ended_at": long_ago} if key == "old" else {})
        await table.update(a_claim(key).run_id, "run", changes, {})
    assert await prune(table, timedelta(days=90)) == 1
    left = [item["pk"] async for page in table.query(("pk", a_claim("old").run_id)) for item in page]
    assert left == []
    assert {run.run_key for run in await TableReader(table).latest(None, 10)} == {"young", "held"}


class Late:
    """A table at which something else happens right before the n-th item is put."""

    def __init__(self, table: Table, before: int, happens: Callable[[], Awaitable[object]]) -> None:
        self._table, self._before, self._happens = table, before, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    async def put(self, *item: Any) -> bool:
        """Put it, late."""
        self._before -= 1
        if self._before == 0:
            await self._happens()
        return await self._table.put(*item)


@pytest.mark.parametrize("before", [1, 2])
async def test_launch_that_is_over_as_it_is_noted_stays_over(table: Table, before: int) -> None:
    """Launcher and reporter write of it at the same time: the end has the last word, and the room is free."""
    reporter = TableLaunches(table)
    answer = await reporter.reserve(asked())
    assert isinstance(answer, Reserved)
    late: Any = Late(table, before, lambda: reporter.released(answer.launch.id, "exit 0", "arn:task"))
    await TableLaunches(late).placed(answer.launch, "arn:task")
    assert await reporter.live() == []
    assert isinstance(await reporter.reserve(asked()), Known)
