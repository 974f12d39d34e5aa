"""Dead letters: shown, worked on again, and gone from the list when they are mended."""

import json

from payments import Payments, payments
from simulated import ref_of
from worker_process import Worker, adds_up, finished, worker

RUN = "poll-payments:night"


async def broken(world: Payments, count: int) -> None:
    """Have so many payments that the provider never heard of."""
    await world.sql("UPDATE payments SET provider_ref = $1", ref_of("succeeded"))
    await world.sql("UPDATE payments SET provider_ref = $1 || id WHERE id <= $2", "gone", count)


async def mend(world: Payments) -> None:
    """Give them references that it knows."""
    await world.sql("UPDATE payments SET provider_ref = $1 WHERE provider_ref LIKE 'gone%'", ref_of("canceled"))


async def run(world: Payments, *arguments: str) -> tuple[int, Worker]:
    """Run the job under the same key."""
    return await finished("poll-payments", "--run-key", "night", *arguments, **world.environment)


async def printed(world: Payments, *arguments: str) -> str:
    """Give what a command prints."""
    async with worker(*arguments, **world.environment) as running:
        return await running.output()


async def test_replay_of_all_there_was_says_so_in_plain_figures(database_url: str) -> None:
    """All records failed are 100 % of them, no power of ten."""
    async with payments(database_url, 3) as world:
        await broken(world, 3)
        _, first = await run(world)
        assert first.end["detail"] == "100 % failed, 1 % is tolerated"


async def test_replay_works_on_what_failed_and_on_nothing_else(database_url: str) -> None:
    """What is mended leaves the list, and a run that had been completed with failures has succeeded."""
    async with payments(database_url, 40) as world:
        await broken(world, 3)
        code, first = await run(world)
        assert (code, first.end["verdict"]) == (1, "completed with failures")
        assert first.end["next_command"] == f"python -m worker replay {RUN}"
        asked = sum(world.calls.by_ref.values())
        await mend(world)
        code, again = await finished("replay", RUN, **world.environment)
        assert (code, again.end["verdict"]) == (0, "succeeded")
        assert sum(world.calls.by_ref.values()) == asked + 3
        assert again.end["tally"]["read"] == 3
        assert again.end["run_tally"]["failed"] == 0
        assert adds_up(again.end["run_tally"])
        assert not await world.sql("SELECT FROM worker.dead_letters")
        assert (await run(world))[1].end["verdict"] == "already done"
        statuses = await world.sql("SELECT status FROM payments WHERE id <= 3")
    assert {row["status"] for row in statuses} == {"canceled"}


async def test_replay_is_what_the_same_run_key_does_after_failures(database_url: str) -> None:
    """Started again, a run that was completed with failures works on those, again and again until they are mended."""
    async with payments(database_url, 40) as world:
        await broken(world, 3)
        await run(world)
        code, still = await run(world)
        assert (code, still.end["tally"]["read"], still.end["tally"]["failed"]) == (1, 3, 3)
        letters = await world.sql("SELECT tries FROM worker.dead_letters")
        assert [row["tries"] for row in letters] == [2, 2, 2]
        await mend(world)
        assert (await run(world))[0] == 0


async def test_replay_can_be_narrowed(database_url: str) -> None:
    """By error type or key only those are worked on; the others stay on the list."""
    async with payments(database_url, 40) as world:
        await broken(world, 3)
        await run(world)
        await mend(world)
        code, none = await finished("replay", RUN, "--error", "Elsewhere", **world.environment)
        assert (code, "no dead letter of type 'Elsewhere'" in none.faults[0]) == (2, True)
        code, none = await finished("replay", RUN, "--key", "99", **world.environment)
        assert (code, "no dead letter with key '99'" in none.faults[0]) == (2, True)
        _, one = await finished("replay", RUN, "--key", "2", **world.environment)
        assert one.end["tally"]["read"] == 1
        letters = await world.sql("SELECT key::text FROM worker.dead_letters ORDER BY key")
    assert [row["key"] for row in letters] == ["[1]", "[3]"]


async def test_replay_takes_records_off_the_list_that_are_gone(database_url: str) -> None:
    """A record that is no longer selected is skipped as gone."""
    async with payments(database_url, 40) as world:
        await broken(world, 3)
        await run(world)
        await world.sql("UPDATE payments SET status = 'refunded' WHERE id = 1")
        await mend(world)
        _, again = await finished("replay", RUN, **world.environment)
    assert again.end["tally"]["skipped"] == {"gone": 1}
    assert again.end["verdict"] == "succeeded"
    assert adds_up(again.end["tally"])


async def test_replay_of_an_aborted_run_leaves_it_where_it_was(database_url: str) -> None:
    """Its dead letters are mended; the run itself goes on afterwards from its own cursor, with a fresh budget."""
    async with payments(database_url, 400, down=True) as world:
        _, aborted = await run(world)
        assert aborted.end["verdict"] == "aborted"
        world.simulator.behaviour.down = False
        await world.sql("UPDATE payments SET provider_ref = $1", ref_of("succeeded"))
        code, again = await finished("replay", RUN, **world.environment)
        assert (code, again.end["tally"]["done"]) == (0, aborted.end["tally"]["failed"])
        code, rest = await run(world)
        assert (code, rest.end["verdict"]) == (0, "succeeded")
        assert rest.end["run_tally"]["done"] == 400


async def test_aborted_run_goes_on_with_a_fresh_budget(database_url: str) -> None:
    """The failures before the abort do not abort it again; they stay dead letters until they are replayed."""
    async with payments(database_url, 400, down=True) as world:
        await run(world)
        world.simulator.behaviour.down = False
        await world.sql("UPDATE payments SET provider_ref = $1", ref_of("succeeded"))
        await world.sql("UPDATE payments SET provider_ref = 'gone' WHERE id = 300")
        code, rest = await run(world)
        assert (code, rest.end["verdict"]) == (1, "completed with failures")
        assert rest.end["run_tally"]["read"] == 400
        await mend(world)
        assert (await run(world))[0] == 0


async def test_runs_show_tells_attempts_and_dead_letters(database_url: str) -> None:
    """Every attempt and every failed record is there, for people and as JSON; an unknown run is said."""
    async with payments(database_url, 40) as world:
        await broken(world, 3)
        await run(world)
        await finished("replay", RUN, **world.environment)
        text = await printed(world, "runs", "show", RUN)
        lines = (await printed(world, "runs", "show", RUN, "--json")).splitlines()
        code, unknown = await finished("runs", "show", "poll-payments:morning", **world.environment)
        _, bare = await finished("replay", "night", **world.environment)
    assert "completed with failures" in text
    assert "2 (replay)" in text
    assert text.count("resource_missing") == 3
    assert text.count("No such payment_intent: 'gone") == 3, "the reason is what is looked for"
    assert [attempt["number"] for attempt in json.loads(lines[0])["attempts"]] == [1, 2]
    assert [json.loads(line)["key"] for line in lines[1:]] == [[1], [2], [3]]
    assert code == 2
    assert unknown.faults[0].startswith("no run 'poll-payments:morning' (yet: ")
    assert unknown.faults[0].endswith("): python -m worker runs lists them")
    assert bare.faults == ["no run 'night'; did you mean poll-payments:night?"]


async def test_replay_works_on_every_dead_letter_whatever_their_keys(database_url: str) -> None:
    """Over several pages, with keys whose text sorts otherwise than they do, none is passed over."""
    async with payments(database_url, 40) as world:
        await broken(world, 40)
        world.environment["WORKER_PAGE_SIZE"] = "7"
        await run(world)
        await mend(world)
        code, again = await finished("replay", RUN, **world.environment)
    assert (code, again.end["tally"]["done"]) == (0, 39), "one of the forty had succeeded before"
