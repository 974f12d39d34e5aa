"""Runs that are taken up again: resumed by name, followed while they go on, refused in another mode, forgotten when old."""

import json
import signal

from payments import payments
from simulated import ref_of
from worker_process import finished, worker


async def test_resume_goes_on_with_the_latest_run_in_its_scope(database_url: str) -> None:
    """`--resume` needs neither key nor scope; where nothing waits it says so."""
    async with payments(database_url, 400) as world:
        environment = world.environment | {"WORKER_CONCURRENCY": "2"}
        code, nothing = await finished("poll-payments", "--resume", **environment)
        assert (code, nothing.faults[0][:36]) == (2, "no run of poll-payments is waiting t")
        await world.sql("UPDATE payments SET merchant_id = 4")
        world.simulator.behaviour.delay = 0.05
        async with worker("poll-payments", "--run-key", "k", "--scope", "merchant_id=4", **environment) as running:
            await world.calls.until(20)
            running.signal(signal.SIGTERM)
            assert await running.ended() == 75
        world.simulator.behaviour.delay = 0
        code, resumed = await finished("poll-payments", "--resume", **environment)
    assert (code, resumed.end["run_id"], resumed.end["attempt"]) == (0, "poll-payments:k", 2)
    assert resumed.end["run_tally"]["read"] == 400


async def test_wait_follows_the_live_run_and_exits_with_its_code(database_url: str) -> None:
    """A second start of the run waits for the first and ends with its code, without working itself."""
    async with payments(database_url, 60) as world:
        environment = world.environment | {"RUN_KEY": "k", "LEASE": "1"}
        await world.sql("UPDATE payments SET provider_ref = $1", ref_of("succeeded"))
        await world.sql("UPDATE payments SET provider_ref = 'gone' WHERE id <= 10")
        world.simulator.behaviour.delay = 0.3
        environment["WORKER_CONCURRENCY"] = "4"
        async with worker("poll-payments", **environment) as first:
            await first.started()
            async with worker("poll-payments", "--wait", **environment) as second:
                await second.line(lambda line: "following attempt 1" in line["event"])
                assert await first.ended() == 1
                assert await second.ended() == 1
    assert (second.end["verdict"], second.end["exit_code"]) == ("already running", 1)
    assert "completed with failures" in second.end["detail"]
    assert any("attempt 1 of poll-payments:k is still at work, after" in line["event"] for line in second.lines)


async def test_run_key_of_a_dry_run_starts_no_real_run(database_url: str) -> None:
    """Neither an interrupted dry run nor a canary can be gone on with as a real run: nothing would be where it seems."""
    async with payments(database_url, 40) as world:
        before = await world.statuses()
        _, dry = await finished("poll-payments", "--dry-run", **world.environment)
        key = dry.end["run_id"].partition(":")[2]
        code, refused = await finished("poll-payments", "--run-key", key, **world.environment)
        assert (code, await world.statuses()) == (2, before)
    assert "belongs to a dry-run" in refused.faults[0]
    assert "next_command" not in dry.end


async def test_restart_begins_a_run_anew(database_url: str) -> None:
    """`--restart` reads everything again, whatever the run had reached."""
    async with payments(database_url, 40) as world:
        await finished("poll-payments", "--run-key", "k", **world.environment)
        await world.sql("UPDATE payments SET status = 'processing'")
        code, again = await finished("poll-payments", "--run-key", "k", "--restart", **world.environment)
    assert (code, again.end["tally"]["read"], again.end["run_tally"]["read"]) == (0, 42, 42)


async def test_prune_forgets_old_runs_and_no_others(database_url: str) -> None:
    """What ended longer ago goes with its attempts and dead letters; what is young or at work stays."""
    async with payments(database_url, 5) as world:
        for key in ("old", "young", "working"):
            await finished("poll-payments", "--run-key", key, **world.environment)
        await world.sql("UPDATE worker.runs SET created_at = now() - interval '91 days' WHERE run_key <> 'young'")
        await world.sql("UPDATE worker.runs SET ended_at = created_at WHERE run_key = 'old'")
        await world.sql("UPDATE worker.runs SET lease = 'x', ended_at = created_at WHERE run_key = 'working'")
        for state in ("over", "placed"):
            await world.sql(f"""INSERT INTO worker.launches (id, run_id, number, job, lease, scope_hash, dry_run, request,
                restarts, state, reserved_at) VALUES ('{state}', '{state}', 1, '', '', '', false, '{{}}', 0, '{state}',
                now() - interval '91 days')""")
        async with worker("prune", "--keep", "90d", **world.environment) as running:
            assert await running.output() == "1 runs forgotten\n"
        left = await world.sql("SELECT run_key FROM worker.runs ORDER BY run_key")
        attempts = await world.sql("SELECT FROM worker.attempts")
        launches = await world.sql("SELECT id FROM worker.launches")
    assert [row["id"] for row in launches] == ["placed"]
    assert [row["run_key"] for row in left] == ["working", "young"]
    assert len(attempts) == 2


async def test_overlapped_run_is_recorded_and_is_not_what_resume_takes_up(database_url: str) -> None:
    """A start that found another run says so in the store; `--resume` goes on with the one that had begun."""
    async with payments(database_url, 400) as world:
        environment = world.environment | {"LEASE": "1", "WORKER_CONCURRENCY": "2"}
        world.simulator.behaviour.delay = 0.05
        async with worker("poll-payments", "--run-key", "first", **environment) as first:
            await world.calls.until(20)
            code, second = await finished("poll-payments", "--run-key", "second", **environment)
            assert (code, second.end["verdict"]) == (0, "overlapped")
            await first.kill()
        world.simulator.behaviour.delay = 0
        statuses = await world.sql("SELECT status FROM worker.runs WHERE run_key = 'second'")
        assert [row["status"] for row in statuses] == ["overlapped"]
        code, resumed = await finished("poll-payments", "--resume", **environment)
        assert (code, resumed.end["run_id"]) == (0, "poll-payments:first")
        async with worker("runs", "show", "poll-payments:first", "--json", **environment) as running:
            shown = json.loads((await running.output()).splitlines()[0])
    killed, last = (attempt["tally"] for attempt in shown["attempts"])
    assert killed["done"] + last["done"] == shown["tally"]["done"], "a killed attempt's counts follow from the run's"


async def test_resume_says_what_cannot_go_with_it(database_url: str) -> None:
    """A run key names the run already; servers made for the run have none to resume."""
    async with payments(database_url, 5) as world:
        for other in (["--run-key", "k"], ["--local"]):
            code, refused = await finished("poll-payments", "--resume", *other, **world.environment)
            assert code == 2
            assert f"--resume cannot go with {other[0]}" in refused.faults[0]
