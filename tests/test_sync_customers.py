"""sync-customers from outside: what is new, changed and deleted at the provider, and where the next run begins."""

from signal import SIGTERM
from typing import Any

import pytest
from customers import World, customers
from worker_process import Worker, adds_up, finished, worker

from worker.testing.report import Report


async def synced(world: World, *arguments: str) -> tuple[int, Worker]:
    """Run the job."""
    return await finished("sync-customers", *arguments, **world.environment)


async def test_sync_customers_copies_all_and_then_what_is_new(database_url: str) -> None:
    """The first run copies everybody, the next one those that came since, and the ten minutes before them once more."""
    async with customers(database_url, 250) as world:
        code, first = await synced(world)
        assert (code, first.end["tally"]["done"]) == (0, 250), first.lines
        assert await world.stored() == world.there()
        world.customers.have(260)
        code, second = await synced(world)
        assert code == 0
        assert adds_up(second.end["tally"])
        assert second.end["tally"]["done"] == 10
        assert second.end["tally"]["skipped"]["already there"] == pytest.approx(600 / 37, abs=2)
        assert await world.stored() == world.there()


async def test_sync_customers_in_full_finds_what_was_changed_and_deleted(database_url: str) -> None:
    """A customer that is not in the full list is marked, one that is changed is copied; the run that is not full sees neither."""
    async with customers(database_url, 250) as world:
        await synced(world)
        refs = [customer.id for customer in world.customers]
        world.customers.change(refs[3], email="moved@example.com")
        world.customers.delete(refs[5], refs[100])
        before = await world.stored()
        await synced(world)
        assert await world.stored() == before
        code, full = await synced(world, "--scope", "full=true")
        stored = await world.stored()
        assert code == 0, full.lines
        assert {ref for ref, (_, deleted) in stored.items() if deleted} == {refs[5], refs[100]}
        assert {ref: known for ref, known in stored.items() if not known[1]} == world.there()


async def test_sync_customers_in_full_leaves_alone_what_others_saw_since_it_began(database_url: str) -> None:
    """A full run that is interrupted, and goes on after another run has copied new customers, takes those for no deleted ones."""
    async with customers(database_url, 300) as world:
        world.answer_no_more_than(2)
        async with worker("sync-customers", "--scope", "full=true", "--run-key", "night", **world.environment) as full:
            await full.started()
            await world.calls.until(3)
            full.signal(SIGTERM)
            assert await full.ended() == 75
        assert len(await world.stored()) == 100
        world.answer_no_more_than(None)
        world.customers.have(310)
        assert (await synced(world))[0] == 0
        assert (await synced(world, "--scope", "full=true", "--run-key", "night"))[0] == 0
        assert await world.stored() == world.there()


async def test_sync_customers_takes_back_a_mark(database_url: str) -> None:
    """A list that was short by mistake marks customers; the next full run finds them again."""
    async with customers(database_url, 120) as world:
        await synced(world)
        world.customers.have(20)
        await synced(world, "--scope", "full=true")
        assert sum(deleted for _, deleted in (await world.stored()).values()) == 100
        world.customers.have(120)
        await synced(world, "--scope", "full=true")
        assert await world.stored() == world.there()


async def test_sync_customers_that_was_cut_short_leaves_no_gap(database_url: str) -> None:
    """The latest come first: what a canary, or a run that was never finished, has not seen is still read by the next run."""
    async with customers(database_url, 250) as world:
        await synced(world, "--max-records", "20")
        assert len(await world.stored()) == 20
        code, _ = await synced(world)
        assert (code, await world.stored()) == (0, world.there())


async def test_sync_customers_in_a_dry_run_changes_nothing(database_url: str) -> None:
    """Neither customers nor the mark."""
    async with customers(database_url, 150) as world:
        code, dry = await synced(world, "--dry-run", "--scope", "full=true")
        assert (code, dry.end["tally"]["done"]) == (0, 150)
        assert await world.stored() == {}
        assert await world.sql("SELECT FROM customer_syncs") == []


@pytest.mark.parametrize(
    "disturbance",
    [
        pytest.param({"kills": 1, "commits": 1}, id="some"),
        pytest.param({"kills": 30, "commits": 15, "stops": 10, "cuts": 20}, id="many", marks=pytest.mark.soak),
    ],
)
async def test_sync_customers_survives(database_url: str, kill_anywhere: Any, disturbance: dict[str, int]) -> None:
    """Killed or stopped anywhere in a full run, it ends the same: everybody copied, who is gone marked, once."""
    async with customers(database_url, 400, delay=0.02) as world:
        await synced(world)
        world.customers.delete(*[customer.id for customer in world.customers][::40])
        await world.sql("ALTER TABLE customers ADD is_deleted bool GENERATED ALWAYS AS (deleted IS NOT NULL) STORED")
        report: Report = await kill_anywhere(
            "sync-customers",
            database=database_url,
            environment=world.environment | {"WORKER_PAGE_SIZE": "20", "JOB_FULL": "true"},
            except_columns=["deleted", "seen", "began"],
            seed=1,
            **disturbance,
        )
    assert report.disturbed.total() == sum(disturbance.values())
