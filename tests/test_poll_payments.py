"""The main job from outside: a real process, a real database, a provider that decides each payment's fate."""

from collections import Counter

import pytest
from payments import expected, payments
from simulated import SEED, ref_of
from slack_server import Reply, slack
from worker_process import adds_up, finished, worker

from worker.local.fate import fate


async def test_run_records_every_answer(database_url: str) -> None:
    """Every payment that was processing ends with the provider's status, all others stay; the counts say so."""
    async with payments(database_url, 300, fail=0.05) as world:
        before = await world.statuses()
        code, done = await finished("poll-payments", **world.environment)
        assert code == 0, done.lines
        assert await world.statuses() == expected(before)
    fates = Counter(fate(SEED, ref).status for ref, status in before.items() if status == "processing")
    tally = done.end["tally"]
    assert adds_up(tally)
    assert tally["read"] == 300
    assert tally["skipped"] == {"unchanged": fates["processing"]}
    assert tally["failed"] == fates[None]
    assert tally["retries"] > 0


async def test_run_narrowed_by_scope_leaves_the_rest_alone(database_url: str) -> None:
    """With a merchant in the scope, flag over variable, no other merchant's payment is touched or asked for."""
    async with payments(database_url, 300) as world:
        environment = world.environment | {"JOB_MERCHANT_ID": "5"}
        code, done = await finished("poll-payments", "--scope", "merchant_id=4", **environment)
        changed = await world.sql(
            "SELECT DISTINCT merchant_id FROM payments WHERE checked_at > now() - interval '1 minute'"
        )
    assert code == 0
    assert [row["merchant_id"] for row in changed] == [4]
    assert next(line["scope"] for line in done.lines if "scope" in line) == {"merchant_id": 4}


async def test_run_leaves_a_row_alone_that_changed_meanwhile(database_url: str) -> None:
    """A payment that somebody else settles between its reading and the answer keeps what they wrote."""
    async with payments(database_url, 1, delay=3) as world:
        ref = ref_of("succeeded")
        await world.sql("UPDATE payments SET provider_ref = $1", ref)
        async with worker("poll-payments", **world.environment) as running:
            await running.started()
            await world.calls.until(1)
            await world.sql("UPDATE payments SET status = 'refunded', updated_at = now()")
            assert await running.ended() == 0
        assert running.end["tally"]["skipped"] == {"changed meanwhile": 1}
        assert set((await world.statuses()).values()) == {"refunded"}


async def test_run_survives_a_row_that_breaks_process(database_url: str) -> None:
    """A payment without a reference, or with one that is no reference at all, is a failed record; the others are done."""
    async with payments(database_url, 300) as world:
        await world.sql("ALTER TABLE payments ALTER provider_ref DROP NOT NULL")
        await world.sql("UPDATE payments SET provider_ref = NULL WHERE id = 1")
        await world.sql("UPDATE payments SET provider_ref = '../../etc?x=#\u00e9 ' WHERE id = 2")
        code, done = await finished("poll-payments", **world.environment)
        letters = await world.sql("SELECT key::text, type FROM worker.dead_letters ORDER BY key")
        replay = done.end["next_command"].removeprefix("python -m worker ").split()
        _, again = await finished(*replay, **world.environment)
    assert code == 0, "one in a hundred is tolerated"
    assert again.end["tally"]["read"] == len(letters), "what was tolerated is there to be replayed"
    assert [row["key"] for row in letters[:2]] == ["[1]", "[2]"]
    assert adds_up(done.end["tally"])
    assert done.end["tally"]["failed"] == len(letters)


async def test_run_in_a_dry_run_changes_nothing(database_url: str) -> None:
    """Nothing is written, what would be is shown, and the run key is not used up."""
    async with payments(database_url, 50) as world:
        before = await world.statuses()
        environment = world.environment | {"RUN_KEY": "tonight"}
        code, dry = await finished("poll-payments", "--dry-run", **environment)
        assert (code, await world.statuses()) == (0, before)
        code, real = await finished("poll-payments", **environment)
        assert (code, await world.statuses()) == (0, expected(before))
    assert dry.end["tally"]["done"] == real.end["tally"]["done"]
    assert real.end["run_id"] == "poll-payments:tonight"


async def test_run_with_a_bounded_number_of_records_stops_there(database_url: str) -> None:
    """A canary works on so many records and succeeds; the run itself still has all the others to do."""
    async with payments(database_url, 50) as world:
        environment = world.environment | {"RUN_KEY": "tonight"}
        _, canary = await finished("poll-payments", "--max-records", "7", **environment)
        _, real = await finished("poll-payments", **environment)
    assert canary.end["tally"]["read"] == 7
    assert real.end["tally"]["read"] == 50 - canary.end["tally"]["done"]


async def test_run_that_succeeded_is_not_repeated(database_url: str) -> None:
    """The same run key again ends as already done, and asks the provider nothing about any payment."""
    async with payments(database_url, 20) as world:
        await finished("poll-payments", "--run-key", "night", **world.environment)
        asked = world.simulator.by_status.total()
        code, again = await finished("poll-payments", "--run-key", "night", **world.environment)
    assert (code, again.end["verdict"]) == (0, "already done")
    assert world.simulator.by_status.total() <= asked + 1, "the key is checked, no more"


async def test_run_against_a_provider_that_is_down_ends_by_its_budget(database_url: str) -> None:
    """The error budget ends the run soon, with exit 1 and a Slack message that says why."""
    async with payments(database_url, 2_000, down=True) as world:
        with slack(Reply()) as channel:
            environment = world.environment | {"SLACK_WEBHOOK_URL": f"{channel.url}/hook"}
            code, done = await finished("poll-payments", **environment)
    assert (code, done.end["verdict"]) == (1, "aborted")
    assert "records failed" in done.end["detail"]
    assert adds_up(done.end["tally"])
    assert done.end["tally"]["unfinished"] > 0
    assert "aborted" in channel.posted[0][2]["text"]


async def test_run_waits_for_a_provider_that_asks_for_a_pause(database_url: str) -> None:
    """While the provider answers 429 everybody waits; then the run goes on to its end, without a failure."""
    async with payments(database_url, 100, rate=40) as world:
        code, done = await finished("poll-payments", **world.environment)
    tally = done.end["tally"]
    assert code == 0
    assert tally["throttled"] > 0
    assert tally["retries"] == 0, "a throttled try is none"
    assert done.end["throttled_s"] > 0


@pytest.mark.parametrize("key", ["sk_test_wrong", "sk_live_9999999999999999"])
async def test_run_with_refused_credentials_does_not_start(database_url: str, key: str) -> None:
    """A key that the provider refuses is said before any record is touched, without the key."""
    async with payments(database_url, 10) as world:
        before = await world.statuses()
        code, refused = await finished("poll-payments", **world.environment | {"STRIPE_API_KEY": key})
        assert (code, await world.statuses()) == (2, before)
    assert any("STRIPE_API_KEY" in fault for fault in refused.faults)
    assert key not in str(refused.lines)
