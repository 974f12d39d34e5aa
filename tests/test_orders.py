"""The pipeline of orders from outside: extract, transform and load a day, and what comes of it in the table of clean orders."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from aws import Aws
from orders_room import STEPS, Orders

from jobs.local._orders import DAY, extracted, ordered, transformed
from worker.database import Link
from worker.store.migrate import migrate
from worker.testing.report import Report


@pytest_asyncio.fixture
async def orders(database_url: str, aws: Aws) -> AsyncIterator[Orders]:
    """Give a database with the run store, and an empty bucket."""
    async with Link(database_url, "test") as link:
        await migrate(link)
    yield Orders(database_url, aws, aws.bucket())


async def test_orders_go_through_all_steps_and_a_second_time_change_nothing(orders: Orders) -> None:
    """What is loaded is what plain SQL says; run again, each step finds all as it is, and no row or object is written."""
    await orders.seeded(ordered)
    for step in STEPS:
        code, tally = await orders.run(step)
        assert (code, tally["done"]) == (0, 6), step
    assert await orders.is_right()
    before = await orders.state()
    for step in STEPS:
        code, tally = await orders.run(step)
        assert (code, tally["skipped"]) == (0, {"unchanged": 6}), step
    assert await orders.state() == before


async def test_orders_that_changed_are_loaded_anew(orders: Orders) -> None:
    """A part replaces its own rows: changed, cancelled and late orders end as plain SQL says, the other parts stay."""
    await orders.seeded(transformed)
    await orders.run("load-orders")
    assert await orders.is_right()
    await orders.sql("UPDATE orders SET amount_cents = 7 WHERE id = 1012")
    await orders.sql("UPDATE orders SET status = 'cancelled' WHERE id = 1025")
    await orders.sql(
        "INSERT INTO orders SELECT 1030, placed_at, 5, 'de', 'paid', 'eur', 100 FROM orders WHERE id = 1012"
    )
    await orders.seeded(transformed)
    code, tally = await orders.run("load-orders")
    assert (code, tally["done"], tally["skipped"]) == (0, 1, {"unchanged": 5})
    assert await orders.is_right()


async def test_orders_that_are_all_gone_from_a_part_are_gone_from_what_was_loaded(orders: Orders) -> None:
    """A part that has nothing in it any more goes through the steps empty; when orders come back to it, they come through."""
    await orders.seeded(ordered)
    for step in STEPS:
        await orders.run(step)
    await orders.sql("CREATE TABLE away AS SELECT * FROM orders WHERE id / 1000 = 2")
    for change, done in (("DELETE FROM orders WHERE id / 1000 = 2", 0), ("INSERT INTO orders SELECT * FROM away", 1)):
        await orders.sql(change)
        assert (await orders.run("extract-orders"))[1]["done"] == done
        for step in STEPS[1:]:
            code, tally = await orders.run(step)
            assert (code, tally["done"], tally["skipped"]) == (0, 1, {"unchanged": 5}), step
        assert await orders.is_right()


async def test_orders_without_the_step_before_are_a_fault(orders: Orders) -> None:
    """A step whose predecessor did not run, or not to its end, says so, and what to run; it does not succeed with less."""
    await orders.seeded(ordered)
    for step in STEPS[1:]:
        code, said = await orders.run(step)
        assert (code, "run the step that writes it first" in said[0]) == (2, True), said
    await orders.seeded(extracted)
    orders.aws.s3.delete_object(Bucket=orders.bucket, Key=f"raw/{DAY}/000000001.jsonl.gz")
    code, said = await orders.run("transform-orders")
    assert (code, f"raw/{DAY}/ lacks 1 of the 6 parts" in said[0], "(000000001)" in said[0]) == (2, True, True), said


async def test_orders_part_that_is_damaged_fails_alone(orders: Orders) -> None:
    """A part that is cut short becomes a dead letter that says so; the others are transformed, and it has no clean object."""
    await orders.seeded(extracted)
    key = f"raw/{DAY}/000000002.jsonl.gz"
    whole = orders.aws.body(orders.bucket, key)
    orders.aws.s3.put_object(Bucket=orders.bucket, Key=key, Body=whole[:-200])
    code, tally = await orders.run("transform-orders", "--run-key", "night")
    assert (code, tally["done"], tally["failed"]) == (1, 5, 1)
    assert "clean/" + key[4:].replace("jsonl", "csv") not in orders.aws.keys(orders.bucket)
    ((message,),) = await orders.sql("SELECT message FROM worker.dead_letters")
    assert f"{key} is cut short" in message
    orders.aws.s3.put_object(Bucket=orders.bucket, Key=key, Body=whole)
    code, tally = await orders.run("transform-orders", "--run-key", "night")
    assert (code, tally["done"]) == (0, 1)


async def test_load_orders_survives(orders: Orders, kill_anywhere: Any) -> None:
    """Killed at random instants and at commits, it ends the same."""
    await orders.seeded(transformed)
    environment = {name: value for name, value in orders.environment.items() if name != "DATABASE_URL"}
    report: Report = await kill_anywhere(
        "load-orders", database=orders.url, environment=environment, seed=3, kills=1, commits=1
    )
    assert report.disturbed.total() == 2
