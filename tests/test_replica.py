"""REPLICA_URL: pages come from a replica that really streams, records that are read again and commits go to the primary."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from payments import expected, payments
from replication import Primary, Replica, do, replicated
from worker_process import finished

from worker.database import Link
from worker.errors import Transient
from worker.sources.postgres import PostgresQuery, query

ITEMS = "CREATE TABLE item AS SELECT id, 'old' AS name FROM generate_series(1, 20) AS id"


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Primary, Replica]]:
    """Give a primary with twenty items, and its replica."""
    async with replicated() as (primary, replica):
        connection = await asyncpg.connect(primary.url)
        await connection.execute(ITEMS)
        await connection.close()
        await replica.catch_up()
        yield primary, replica


async def test_replica_that_is_behind_is_read_as_it_is(servers: tuple[Primary, Replica]) -> None:
    """Its pages miss what has changed since, and no more; records read again are the primary's, and so is all with replica=False."""
    primary, replica = servers
    async with (
        Link(primary.url, "primary") as here,
        Link(replica.url, "pages") as there,
        Link(replica.url, "count") as aside,
    ):

        async def source(*, replica: bool = True) -> PostgresQuery:
            made = query("SELECT id, name FROM item", key="id", replica=replica)
            made.connect(there, aside, here)
            assert await made.check() == []
            return made

        behind = await source()
        await replica.hold()
        await do(primary, "UPDATE item SET name = 'new' WHERE id = 3")
        await do(primary, "DELETE FROM item WHERE id = 4")
        await do(primary, "INSERT INTO item VALUES (21, 'new')")
        old = {row["id"]: row["name"] for row in (await behind.page(None, 100)).records}
        assert old == dict.fromkeys(range(1, 21), "old")
        assert await behind.count(None) == 20
        again = {row["id"]: row["name"] for row in await behind.records([(3,), (4,), (5,), (21,)])}
        assert again == {3: "new", 5: "old", 21: "new"}
        now = {row["id"]: row["name"] for row in (await (await source(replica=False)).page(None, 100)).records}
        assert (now[3], 4 in now, now[21]) == ("new", False, "new")
        await replica.catch_up()
        assert [row["id"] for row in (await behind.page((19,), 100)).records] == [20, 21]


async def test_replica_check_tries_both(servers: tuple[Primary, Replica]) -> None:
    """A right that one of the two users lacks is found before the work begins."""
    primary, replica = servers
    await do(primary, "CREATE ROLE modest LOGIN")
    await replica.catch_up()
    modest = {server: server.url.replace("postgres@", "modest@") for server in servers}
    for here, there in ((modest[primary], replica.url), (primary.url, modest[replica])):
        source = query("SELECT id FROM item", key="id")
        async with Link(here, "primary") as records, Link(there, "pages") as pages:
            source.connect(pages, pages, records)
            [fault] = await source.check()
            assert "permission denied for table item" in fault


async def test_replica_that_ends_a_query_is_asked_again(servers: tuple[Primary, Replica]) -> None:
    """What replay takes away from under a query ends that query: it passes, and the next read is answered."""
    primary, replica = servers
    await do(replica, "ALTER SYSTEM SET max_standby_streaming_delay = 0")
    await do(replica, "SELECT pg_reload_conf()")
    async with Link(replica.url, "pages") as pages:
        slow = query("SELECT id FROM item WHERE pg_sleep(20) IS NOT NULL", key="id")
        slow.connect(pages, pages)
        reading = asyncio.create_task(slow.page(None, 10))
        await replica.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1)
        await do(primary, "ALTER TABLE item ADD note text")
        with pytest.raises(Transient, match="conflict with recovery"):
            await reading
        source = query("SELECT id FROM item", key="id")
        source.connect(pages, pages)
        assert len((await source.page(None, 10)).records) == 10


async def test_replica_that_is_behind_repeats_calls_and_changes_nothing_twice() -> None:
    """A run that reads what the run before has settled asks the provider again; its writes find nothing to change."""
    async with replicated() as (primary, replica), payments(primary.url, 60) as world:
        before = await world.statuses()
        await replica.catch_up()
        await replica.hold()
        world.environment["REPLICA_URL"] = replica.url
        code, first = await finished("poll-payments", **world.environment)
        assert (code, await world.statuses()) == (0, expected(before)), first.lines
        settled = first.end["tally"]["done"]
        code, second = await finished("poll-payments", **world.environment)
        assert second.end["tally"]["skipped"]["changed meanwhile"] == settled
        assert second.end["tally"]["done"] == 0
        assert await world.statuses() == expected(before)
        await replica.catch_up()
        _, third = await finished("poll-payments", **world.environment)
        assert "changed meanwhile" not in third.end["tally"]["skipped"]
