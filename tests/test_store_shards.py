"""worker/claim.py, kept by every run store where a run has shards: one run to everybody else, closed by who ends last."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from examples import a_start, a_summary
from store_worlds import StoreWorld, dynamodb_world, granted, postgres_world
from stored import a_batch, a_claim, a_letter

from worker.claim import Claim, Granted, Held, Over, Selection, Store
from worker.errors import Faults, LeaseLost
from worker.events import Summary
from worker.local.postgres import Postgres
from worker.runs import RUNNING, RunView
from worker.shards import Shard
from worker.tally import Tally
from worker.verdict import Verdict

WHOLE = "poll-payments:2026-11-22"


@pytest.fixture(params=["postgres", "moto", pytest.param("dynalite", marks=pytest.mark.soak)])
async def world(
    request: pytest.FixtureRequest, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StoreWorld]:
    """Give an empty run store of each kind."""
    if request.param != "postgres":
        request.getfixturevalue("aws")
        if request.param == "dynalite":
            monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("dynalite_server"))
        async with dynamodb_world() as world:
            yield world
        return
    url = await postgres_server.database()
    async with postgres_world(url) as world:
        yield world
    await postgres_server.drop(url)


def a_shard(number: int, of: int = 2, **changes: Any) -> Claim:
    """Give the claim of a shard, which has found the keys 10, 20, … as bounds."""
    bounds = [[10 * place] for place in range(1, of)]
    return a_claim(**{"shard": Shard(number, of), "bounds": bounds, **changes})


async def end(store: Store, verdict: Verdict = Verdict.SUCCEEDED, **changes: Any) -> Summary | None:
    """End a shard's attempt."""
    return await store.end(a_summary(verdict, start=a_start(shard="1/2"), errors=(), **changes))


async def begun(world: StoreWorld, of: int = 2) -> list[Store]:
    """Begin with all shards."""
    for number in range(1, of + 1):
        await granted(world.stores[number - 1], a_shard(number, of))
    return list(world.stores[:of])


async def the_run(world: StoreWorld) -> RunView:
    """Find the one run that there is."""
    [run] = await world.reader.latest("poll-payments", 10)
    found = await world.reader.find(run.run_id)
    assert found is not None
    assert (found.status, found.tally) == (run.status, run.tally)
    return found


async def test_shards_are_granted_beside_each_other_as_one_run(world: StoreWorld) -> None:
    """Each has its attempt and its lease; to others it is one run that is going on, with its parts."""
    one, two, *_ = world.stores
    assert (await granted(one, a_shard(1))).bounds == [[10]]
    assert (await granted(two, a_shard(2))).bounds == [[10]]
    run = await the_run(world)
    assert (run.run_id, run.status, run.shards, run.attempt) == (WHOLE, RUNNING, 2, 1)
    assert [(part.run_id, part.status, part.attempt) for part in run.parts] == [
        (f"{WHOLE}/1", RUNNING, 1),
        (f"{WHOLE}/2", RUNNING, 1),
    ]
    holder = await world.reader.holder("poll-payments")
    assert holder is not None
    assert holder.run_id == WHOLE


async def test_shards_that_start_at_once_agree_on_the_bounds(world: StoreWorld) -> None:
    """Each has found other keys: those of one of them are frozen, for all and for good."""
    claims = [a_shard(number, 4, bounds=[[number], [20], [30]]) for number in (1, 2, 3, 4)]
    answers = await asyncio.gather(*(granted(store, claim) for store, claim in zip(world.stores, claims, strict=True)))
    [frozen] = {str(answer.bounds) for answer in answers}
    assert frozen in {str(claim.bounds) for claim in claims}
    assert str(await world.stores[0].bounds(claims[0])) == frozen
    assert (await the_run(world)).attempt == 1


async def test_shards_of_another_number_are_refused(world: StoreWorld) -> None:
    """The same key in another number of shards, in none, or in some where it had none."""
    await granted(world.stores[0], a_shard(1))
    for other in (a_shard(1, 3), a_claim()):
        with pytest.raises(Faults, match="is a run in 2 shards: say --shards 2"):
            await world.stores[1].claim(other)
    await granted(world.stores[1], a_claim("plain", lease="other"))
    with pytest.raises(Faults, match="begun without shards"):
        await world.stores[2].claim(a_shard(1, run_key="plain", lease="other"))


async def test_shards_keep_another_run_waiting(world: StoreWorld) -> None:
    """Any shard's heartbeat is a sign of life of the run; once all have ended, the other one's turn has come."""
    one, two, three, _ = world.stores
    await begun(world)
    held = await three.claim(a_claim("other"))
    assert isinstance(held, Held)
    assert held.run_id == WHOLE
    await two.heartbeat()
    beaten = await three.claim(a_claim("other"))
    assert isinstance(beaten, Held)
    assert beaten.sign != held.sign
    await end(one)
    assert isinstance(await three.claim(a_claim("other")), Held)
    assert await three.follow(WHOLE) is None
    await end(two)
    assert await three.follow(WHOLE) is Verdict.SUCCEEDED
    await granted(three, a_claim("other"))


async def test_shards_started_twice_find_each_other(world: StoreWorld) -> None:
    """The second is held up by the first alone, and succeeds it where that shows no sign of life; the other shard goes on."""
    one, two, three, _ = world.stores
    await begun(world)
    held = await three.claim(a_shard(1))
    assert isinstance(held, Held)
    assert held.run_id == f"{WHOLE}/1"
    again = await three.claim(a_shard(1), successor_of=held)
    assert isinstance(again, Granted)
    assert again.attempt == 2
    await two.heartbeat()
    with pytest.raises(LeaseLost):
        await one.heartbeat()
    assert await end(one) is None
    assert await end(two) is None
    assert (await end(three)) is not None


async def test_shards_without_a_sign_of_life_are_all_deposed(world: StoreWorld) -> None:
    """Another run takes over from the run: no shard of it can write any more, and each can be taken up again."""
    one, two, three, _ = world.stores
    await begun(world)
    await world.commit(one, a_batch({3: "paid"}))
    held = await three.claim(a_claim("other"))
    assert isinstance(held, Held)
    assert isinstance(await three.claim(a_claim("other"), successor_of=held), Granted)
    for store in (one, two):
        with pytest.raises(LeaseLost):
            await store.heartbeat()
        with pytest.raises(LeaseLost):
            await world.commit(store, a_batch({4: "paid"}))
    await three.end(a_summary(Verdict.SUCCEEDED))
    assert (await granted(one, a_shard(1))).cursor == [3]
    run = await world.reader.find(WHOLE)
    assert run is not None
    assert [part.status for part in run.parts] == [RUNNING, "interrupted"]


async def test_shards_last_to_end_closes_the_run(world: StoreWorld) -> None:
    """It alone is given the summary of all: counts summed, the worst verdict, and what comes next."""
    one, two, *_ = await begun(world)
    await world.commit(one, a_batch({1: "paid", 2: "paid"}))
    await world.commit(two, a_batch({11: "paid"}, a_letter(12)))
    assert await end(one) is None
    assert Tally.from_json((await the_run(world)).tally) == Tally(read=4, done=3, failed=1)
    whole = await end(two, Verdict.INTERRUPTED, detail="SIGTERM")
    assert whole is not None
    assert (whole.start.run_id, whole.start.shard, whole.verdict) == (WHOLE, None, Verdict.INTERRUPTED)
    assert whole.tally == whole.run_tally == Tally(read=4, done=3, failed=1)
    assert whole.detail == "shard 2/2: SIGTERM"
    assert whole.next_command == "python -m worker poll-payments --run-key 2026-11-22 --shards 2"
    assert [(part.shard, part.verdict) for part in whole.shards] == [
        ("1/2", Verdict.SUCCEEDED),
        ("2/2", Verdict.INTERRUPTED),
    ]
    run = await the_run(world)
    assert (run.status, run.exit_code, run.detail) == ("interrupted", 75, "shard 2/2: SIGTERM")
    assert Tally.from_json(run.tally) == Tally(read=4, done=3, failed=1)
    [attempt] = run.attempts
    assert (attempt.number, attempt.verdict, attempt.tally["done"]) == (1, "interrupted", 3)
    assert await world.reader.holder("poll-payments") is None


async def test_shards_that_go_on_close_the_run_again(world: StoreWorld) -> None:
    """One that is taken up again is an attempt of the run; its counts come on top."""
    one, two, three, _ = world.stores
    await begun(world)
    await world.commit(one, a_batch({1: "paid"}))
    await end(one)
    await end(two, Verdict.INTERRUPTED)
    assert isinstance(await three.claim(a_shard(1)), Over)
    assert (await granted(three, a_shard(2))).attempt == 2
    assert (await the_run(world)).status == RUNNING
    await world.commit(three, a_batch({11: "paid"}))
    whole = await end(three)
    assert whole is not None
    assert (whole.verdict, whole.start.attempt) == (Verdict.SUCCEEDED, 2)
    assert (whole.tally.done, whole.run_tally.done) == (1, 2)
    assert isinstance(await one.claim(a_shard(2)), Over)
    assert [attempt.verdict for attempt in (await the_run(world)).attempts] == ["interrupted", "succeeded"]


async def test_shards_that_all_go_on_close_the_run_once(world: StoreWorld) -> None:
    """Though the first of them ends before the second begins: what has records left is waited for, what has none is not."""
    for number in (1, 2, 3):
        await granted(world.stores[0], a_shard(number, 3))
        await world.commit(world.stores[0], a_batch({}, a_letter(10 * number)))
        await end(world.stores[0], Verdict.INTERRUPTED if number < 3 else Verdict.COMPLETED_WITH_FAILURES)
    assert (await the_run(world)).status == "interrupted"
    await granted(world.stores[0], a_shard(1, 3))
    assert await end(world.stores[0]) is None
    await granted(world.stores[1], a_shard(2, 3))
    whole = await end(world.stores[1])
    assert whole is not None
    assert whole.verdict is Verdict.COMPLETED_WITH_FAILURES


async def test_shards_that_died_are_buried(world: StoreWorld) -> None:
    """The run is closed without the dead one; not while a later attempt may be at work."""
    one, two, three, _ = world.stores
    await granted(one, a_shard(1))
    await granted(two, a_shard(2, task_arn="arn:1"))
    await end(one)
    assert await three.bury(WHOLE, 2, "arn:another") is None
    whole = await three.bury(WHOLE, 2, "arn:1")
    assert whole is not None
    assert (whole.verdict, whole.detail) == (Verdict.INTERRUPTED, "shard 2/2: killed")
    with pytest.raises(LeaseLost):
        await two.heartbeat()
    run = await the_run(world)
    assert (run.status, run.parts[1].status, run.parts[1].detail) == ("interrupted", "interrupted", "killed")


async def test_shards_that_never_began_are_buried(world: StoreWorld) -> None:
    """A task that could not be placed is an interrupted shard; started after all, it goes on."""
    one, two, *_ = world.stores
    await granted(one, a_shard(1))
    assert await two.bury(WHOLE, 2) is None
    whole = await end(one)
    assert whole is not None
    assert [part.verdict for part in whole.shards] == [Verdict.SUCCEEDED, Verdict.INTERRUPTED]
    assert whole.detail == "shard 2/2: it never began"
    assert (await granted(two, a_shard(2))).attempt == 1


async def test_shards_summary_that_was_not_told_can_be_had_again(world: StoreWorld) -> None:
    """By whoever buries the one that owed it, and until it was told; burying another one does not repeat it."""
    one, two, three, _ = world.stores
    await begun(world)
    await end(one)
    first = await end(two, Verdict.CRASHED)
    assert await three.bury(WHOLE, 1) is None
    again = await three.bury(WHOLE, 2)
    assert first is not None
    assert again is not None
    assert (again.verdict, again.run_tally, again.shards) == (first.verdict, first.run_tally, first.shards)
    await three.told(WHOLE)
    assert await three.bury(WHOLE, 2) is None


async def test_shards_have_all_worked_when_the_last_one_has(world: StoreWorld) -> None:
    """Said within the last page commit, and only to one of them; a run without shards is its own last."""

    async def committed(store: Store) -> bool:
        said: list[bool] = []

        async def writing(results: Any, connection: Any, careful: bool) -> Any:
            wrote = await world.writer()(results, connection, careful)
            said.append(await store.worked(connection))
            return wrote

        await store.commit(a_batch({}), "id", writing)
        return said[-1]

    one, two, *_ = await begun(world)
    assert not await committed(one)
    assert not await committed(one)
    assert await committed(two)
    await granted(world.stores[2], a_claim("plain", lease="other"))
    assert await committed(world.stores[2])


async def test_shards_dead_letters_are_the_runs(world: StoreWorld) -> None:
    """A replay of the run has those of all shards, in order; what it mends is mended, and the counts stay right."""
    one, two, three, _ = world.stores
    await begun(world)
    await world.commit(two, a_batch({15: "paid"}, a_letter(12), a_letter(14)))
    await world.commit(one, a_batch({}, a_letter(3)))
    await end(one, Verdict.COMPLETED_WITH_FAILURES)
    whole = await end(two, Verdict.COMPLETED_WITH_FAILURES)
    assert whole is not None
    assert whole.next_command == f"python -m worker replay {WHOLE}"
    assert [letter.key for letter in await world.letters()] == [[3], [12], [14]]
    assert [letter.key for letter in await world.reader.dead_letters(f"{WHOLE}/2", 10)] == [[12], [14]]

    replay = await granted(three, a_claim(replay=Selection()))
    assert (replay.replay, replay.whole, replay.before.failed) == (1, True, 3)
    assert list(await three.letters(None, 10)) == [[3], [12], [14]]
    assert list(await three.letters([3], 1)) == [[12]]
    batch = a_batch({3: "paid", 12: "paid"}, a_letter(14, tries=2), cursor=14)
    await world.commit(three, replace(batch, mended=([3], [12])))
    await three.end(a_summary(Verdict.COMPLETED_WITH_FAILURES))
    [left] = await world.letters()
    assert (left.key, left.tries) == ([14], 3)
    assert Tally.from_json((await the_run(world)).tally) == Tally(read=4, done=3, failed=1)

    mine = await granted(two, a_shard(2))
    assert mine.replay == 1
    assert list(await two.letters(None, 10)) == [[14]]
    await two.mend([[14]])
    await world.commit(two, replace(a_batch({}), mended=([14],)))
    assert await world.letters() == []
