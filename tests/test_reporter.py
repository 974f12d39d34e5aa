"""worker/functions/reporter.py: who hears of a task that has stopped, how often, and what is started again."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aws import Aws
from endings import TASK, an_event
from examples import a_start, a_summary
from slack_server import Reply
from store_worlds import StoreWorld, granted, postgres_world
from stored import a_batch, a_claim
from watch_room import Room, begun, room

from worker import Job, Scope, Secret, registry
from worker.claim import Held
from worker.functions.reporter import report
from worker.functions.wording import command_scope
from worker.shards import Shard
from worker.tally import Tally
from worker.verdict import Verdict

NOW = datetime.now(UTC).isoformat()
RUN = "poll-payments:2026-11-24T02:00:00Z"


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[StoreWorld]:
    """Give an empty run store."""
    async with postgres_world(database_url, count=3) as world:
        yield world


@pytest.fixture
async def outside(world: StoreWorld, aws: Aws) -> AsyncIterator[Room]:
    """Give all that the reporter talks to."""
    async with room(world, aws) as made:
        yield made


def text_of(message: dict[str, Any]) -> str:
    """Give all words of a Slack message."""
    return json.dumps(message["blocks"], ensure_ascii=False)


async def test_reporter_says_once_what_a_killed_worker_could_not(run_store: StoreWorld, aws: Aws) -> None:
    """From the last page commit, in every kind of run store, though the event comes twice and three times."""
    await begun(run_store, task_arn=TASK)
    async with room(run_store, aws) as outside:
        for _ in range(3):
            await report(an_event("out of memory", stoppedAt=NOW), outside.doors)
        [message] = outside.posted
        assert message["text"].startswith("💀 poll-payments: out of memory · ")
        for words in (
            "out of memory",
            "2 read = 2 done",
            "*Reached*  8",
            "*Last heard of*",
            "give it 1024, and the task cpu 512 and memory 2048",
            f"python -m worker launch poll-payments --run-key {RUN.partition(':')[2]}",
            "#logsV2:log-groups/log-group/$252Fecs$252Fpoll-payments",
            TASK,
        ):
            assert words in text_of(message)
        [alert] = outside.alerts()
        assert alert["Subject"] == "poll-payments: out of memory"
        assert TASK in alert["Message"]
        assert "https://eu-central-1.console.aws.amazon.com/cloudwatch" in alert["Message"]
        assert alert["MessageAttributes"]["kind"]["Value"] == "out of memory"
        assert outside.datadog.tags() == [
            {
                "family": "poll-payments",
                "job": "poll-payments",
                "exit_code": "137",
                "stop_code": "EssentialContainerExited",
                "ending": "out_of_memory",
                "env": "test",
            }
        ]
        assert outside.datadog.refused == []
        assert outside.asked == []


async def test_reporter_posts_once_though_ecs_says_more_the_second_time(run_store: StoreWorld, aws: Aws) -> None:
    """STOPPED may come again with an exit code that was not known before: Slack hears of the attempt once, SNS of both verdicts."""
    await begun(run_store, task_arn=TASK)
    async with room(run_store, aws) as outside:
        for name in ("ended, and nobody knows the code", "out of memory"):
            await report(an_event(name, startedBy="person"), outside.doors)
        assert [message["text"].split(" · ")[0] for message in outside.posted] == ["🔁 poll-payments: ended unseen"]
        assert len(outside.alerts()) == 2
        assert len(outside.asked) == 1


async def test_reporter_posts_and_restarts_once_though_its_event_comes_twice_at_once(
    run_store: StoreWorld, aws: Aws
) -> None:
    """Lambda runs two of them side by side, on connections of their own."""
    await begun(run_store, task_arn=TASK)
    async with room(run_store, aws) as outside:
        beside = replace(
            outside.doors,
            teller=replace(outside.doors.teller, marks=run_store.marks[1]),
            books=outside.doors.books._replace(marks=run_store.marks[1], launches=run_store.launches[1]),
        )
        event = an_event("Spot, killed after two minutes", startedBy="", stoppedAt=NOW)
        await asyncio.gather(*(report(event, doors) for doors in (outside.doors, beside)))
        assert len(outside.posted) == 1
        assert len(await run_store.launches[0].live()) == 1
        assert len(outside.datadog.points) == 1


async def test_reporter_tried_again_after_it_had_posted_posts_no_more(outside: Room) -> None:
    """SNS was away behind it: Lambda sends the event again, and only what was left undone is done."""
    await begun(outside.world, task_arn=TASK)
    broken = replace(outside.doors.found, alerts_topic="arn:aws:sns:eu-central-1:123456789012:gone")
    without_sns = replace(outside.doors, found=broken, teller=replace(outside.doors.teller, found=broken))
    event = an_event("out of memory", stoppedAt=NOW)
    for doors in (without_sns, without_sns):
        with pytest.raises(RuntimeError, match="nobody was alerted"):
            await report(event, doors)
    for _ in range(2):
        await report(event, outside.doors)
    assert (len(outside.posted), len(outside.alerts()), len(outside.datadog.points)) == (1, 1, 1)


async def test_reporter_starts_nothing_again_that_was_taken_up_since(outside: Room) -> None:
    """News of the first task comes when the second has been stopped by somebody: it is history."""
    await begun(outside.world, task_arn=TASK)
    await outside.world.stores[0].end(a_summary(Verdict.INTERRUPTED, detail="SIGTERM", tally=Tally()))
    await granted(outside.world.stores[1], a_claim("2026-11-24T02:00:00Z", task_arn="arn:second"))
    await outside.world.stores[1].end(a_summary(Verdict.INTERRUPTED, detail="SIGTERM", tally=Tally()))
    await report(an_event("stopped by hand, drained in time", taskArn="arn:second"), outside.doors)
    told = await report(an_event("Spot, drained in time", stoppedAt="2026-11-24T02:07:00Z"), outside.doors)
    assert "is known: interrupted" in told["again"]
    assert outside.asked == []


async def test_reporter_starts_nothing_again_that_somebody_stopped(outside: Room) -> None:
    """Neither when it drained in time, nor when it was killed for being slow, nor when it had not begun."""
    await begun(outside.world, task_arn=TASK)
    for name in (
        "stopped by hand, drained in time",
        "stopped by hand, too slow for its stopTimeout",
        "stopped by hand before it ran",
    ):
        await report(an_event(name, taskArn=f"arn:{name}", startedBy=""), outside.doors)
    assert outside.asked == []
    assert len(outside.alerts()) == 3


async def test_reporter_leaves_a_task_alone_that_is_not_a_job_s(outside: Room) -> None:
    """Another application's in the same cluster: it is no business of ours, and nothing is counted."""
    event = an_event(
        "SIGKILL without a reason", group="family:web", taskDefinitionArn="arn:aws:ecs:x:1:task-definition/web:3"
    )
    event["detail"]["containers"] = [{"name": "nginx", "lastStatus": "STOPPED", "exitCode": 1}]
    assert (await report(event, outside.doors))["verdict"] is None
    assert [*outside.posted, *outside.alerts(), *outside.datadog.points] == []


async def test_reporter_tells_of_a_job_that_it_does_not_know_yet(outside: Room) -> None:
    """Its task has the worker's container; the functions' code is older than the job: told of, and not started again."""
    event = an_event(
        "Spot, killed after two minutes",
        group="family:brand-new",
        taskDefinitionArn="arn:aws:ecs:x:1:task-definition/brand-new:1",
    )
    await report(event, outside.doors)
    [alert] = outside.alerts()
    assert alert["Subject"] == "brand-new: Spot interruption"
    assert "It was not started again by itself: no job 'brand-new'" in alert["Message"]


async def test_reporter_leaves_slack_to_a_worker_that_was_killed_behind_its_summary(
    run_store: StoreWorld, aws: Aws
) -> None:
    """It had closed its attempt, and was saying the rest: it is started again, and only SNS hears of it anew."""
    await begun(run_store, task_arn=TASK)
    await run_store.stores[0].end(a_summary(Verdict.INTERRUPTED, detail="SIGTERM", tally=Tally()))
    async with room(run_store, aws) as outside:
        await report(an_event("Spot, killed after two minutes"), outside.doors)
        assert (outside.posted, len(outside.alerts()), len(outside.asked)) == ([], 1, 1)


async def test_reporter_writes_a_success_down_and_tells_nobody(outside: Room, caplog: pytest.LogCaptureFixture) -> None:
    """It is counted, in Datadog and in CloudWatch, and is in the audit log."""
    with caplog.at_level(logging.INFO):
        await report(an_event("all done"), outside.doors)
    assert (outside.posted, outside.alerts(), outside.asked) == ([], [], [])
    [tags] = outside.datadog.tags()
    assert (tags["exit_code"], tags["ending"]) == ("0", "succeeded")
    [audit] = [record for record in caplog.records if record.name == "worker.reporter"]
    assert (audit.__dict__["ending"], audit.__dict__["task_arn"]) == ("succeeded", TASK)
    [line] = [record for record in caplog.records if record.name == "worker.metrics"]
    assert (line.__dict__["TaskStopped"], line.__dict__["Ending"]) == (1, "succeeded")


async def test_reporter_leaves_slack_to_the_worker_where_it_could_speak(outside: Room) -> None:
    """An abort was summed up by the worker itself: SNS alone hears of it."""
    await report(an_event("aborted, crashed or too many failures"), outside.doors)
    assert outside.posted == []
    assert [alert["Subject"] for alert in outside.alerts()] == ["poll-payments: failed"]


async def test_reporter_starts_an_interrupted_run_again_three_times(outside: Room) -> None:
    """Each time under the same run key, counted in the run store; the fourth time it says why not."""
    started_by, messages = "", []
    for number in range(4):
        arn = f"{TASK}{number}"
        event = an_event("Spot, killed after two minutes", taskArn=arn, startedBy=started_by)
        for _ in range(2):  # the event comes twice
            await report(event, outside.doors)
        messages += [alert["Message"] for alert in outside.alerts()]
        live = await outside.world.launches[0].live()
        assert len(live) == (1 if number < 3 else 0)
        started_by = live[0].id if live else ""
    assert ["restart 1 of at most 3" in messages[0], "restart 3 of at most 3" in messages[2]] == [True, True]
    assert "was started again by itself 3 times" in messages[3]
    assert {request["run_key"] for request in outside.asked} == {RUN.partition(":")[2]}
    assert {request["trigger"] for request in outside.asked} == {"resume"}
    assert {request["revision"] for request in outside.asked} == {7}, "a release meanwhile does not change its code"


async def test_reporter_starts_nothing_again_after_a_deadline(outside: Room) -> None:
    """The run store tells 75 by a deadline from any other; both come with the same event."""
    await begun(outside.world, task_arn=TASK)
    summary = a_summary(Verdict.INTERRUPTED, detail="the deadline of 1200 s passed", tally=Tally())
    await outside.world.stores[0].end(summary)
    await report(an_event("the database was away"), outside.doors)
    assert outside.asked == []
    assert [alert["Subject"] for alert in outside.alerts()] == ["poll-payments: deadline passed"]


async def test_reporter_finds_a_run_that_made_its_own_key(outside: Room) -> None:
    """By the task that worked on it; what it says then goes by that key."""
    await begun(outside.world, "hand-20261124T020000Z-7f3a", task_arn=TASK)
    await report(an_event("SIGKILL without a reason", overrides={}), outside.doors)
    assert "--run-key hand-20261124T020000Z-7f3a" in text_of(outside.posted[0])


async def test_reporter_gives_back_the_room_under_the_caps(outside: Room) -> None:
    """Whatever the end: the next launch needs it."""
    await outside.launch({"job": "poll-payments", "run_key": "k"})
    [live] = await outside.world.launches[0].live()
    await report(an_event("all done", startedBy=live.id), outside.doors)
    assert await outside.world.launches[0].live() == []


async def test_reporter_does_not_restart_what_ran_another_command(outside: Room) -> None:
    """Nobody knows what would be the same again; and it is not the job that failed."""
    overrides = {"containerOverrides": [{"name": "worker", "command": ["replay", RUN], "environment": []}]}
    await report(an_event("Spot, killed after two minutes", overrides=overrides), outside.doors)
    assert outside.asked == []
    [alert] = outside.alerts()
    assert alert["Subject"] == "poll-payments: replay Spot interruption"
    assert "the command replay, not the job" in alert["Message"]


async def test_reporter_asks_for_the_same_part_of_the_run(outside: Room) -> None:
    """Its shard, its scope or where that is kept, and its revision, as the task had them."""
    variables = {"RUN_KEY": "k", "SHARD": "3/8", "JOB_MERCHANT_ID": "42"}
    for more in ({}, {"SCOPE_REF": "s3://bucket/scopes/k"}):
        environment = [{"name": name, "value": value} for name, value in (variables | more).items()]
        overrides = {"containerOverrides": [{"name": "worker", "environment": environment}]}
        event = an_event(
            "Spot, killed after two minutes", overrides=overrides, taskArn=f"arn:{len(more)}", startedBy=""
        )
        with suppress(RuntimeError):  # the launcher has room for one of them
            await report(event, outside.doors)
    assert {tags["shard"] for tags in outside.datadog.tags()} == {"3"}
    same: dict[str, Any] = {"job": "poll-payments", "run_key": "k", "shard": "3/8", "trigger": "resume", "revision": 7}
    kept: list[dict[str, Any]] = [{"scope": {"merchant_id": 42}}, {"scope_ref": "s3://bucket/scopes/k"}]
    assert outside.asked == [same | how for how in kept]


async def test_reporter_leaves_a_lost_shard_to_its_pipeline(run_store: StoreWorld, aws: Aws) -> None:
    """Which starts it again: taken for ended, the run would post its summary now and once more. What has to be mended is over."""
    one, two, *_ = run_store.stores
    for number, store in ((1, one), (2, two)):
        await granted(store, a_claim("k", shard=Shard(number, 2), bounds=[[10]], task_arn=f"arn:{number}"))
    await one.end(a_summary(Verdict.SUCCEEDED, start=a_start(shard="1/2"), errors=()))
    said = {"RUN_KEY": "k", "SHARD": "2/2", "TRIGGER": "pipeline"}
    environment = [{"name": name, "value": value} for name, value in said.items()]
    overrides = {"containerOverrides": [{"name": "worker", "environment": environment}]}
    async with room(run_store, aws) as outside:
        for ending, status in (("its host unhealthy", "running"), ("out of memory", "interrupted")):
            await report(an_event(ending, overrides=overrides, taskArn="arn:2"), outside.doors)
            run = await run_store.reader.find("poll-payments:k")
            assert run is not None
            assert run.status == status


async def test_reporter_closes_a_run_whose_last_shard_died(run_store: StoreWorld, aws: Aws) -> None:
    """Nobody else will: it takes the dead shard for ended, and posts the one summary of them all, once."""
    one, two, *_ = run_store.stores
    for number, store in ((1, one), (2, two)):
        shard = {"shard": Shard(number, 2), "bounds": [[10]], "task_arn": f"arn:{number}"}
        await granted(store, a_claim("k", **shard))
    await run_store.commit(two, a_batch({11: "done"}))
    await one.end(a_summary(Verdict.SUCCEEDED, start=a_start(shard="1/2"), errors=()))
    environment = [{"name": "RUN_KEY", "value": "k"}, {"name": "SHARD", "value": "2/2"}]
    overrides = {"containerOverrides": [{"name": "worker", "environment": environment}]}
    async with room(run_store, aws) as outside:
        for _ in range(2):
            await report(an_event("out of memory", overrides=overrides, taskArn="arn:2"), outside.doors)
        assert [message["text"][0] for message in outside.posted] == ["⏸", "💀"]
        assert "1 read = 1 done" in text_of(outside.posted[1])
        assert "python -m worker launch poll-payments --run-key k --shard 2/2" in text_of(outside.posted[1])
    run = await run_store.reader.find("poll-payments:k")
    assert run is not None
    assert (run.status, [part.status for part in run.parts]) == ("interrupted", ["succeeded", "interrupted"])


async def test_reporter_keeps_a_shard_open_that_is_started_again(outside: Room) -> None:
    """Its run is not over: nobody posts a summary of it yet."""
    one, two, *_ = outside.world.stores
    for number, store in ((1, one), (2, two)):
        await granted(store, a_claim("k", shard=Shard(number, 2), bounds=[[10]], task_arn=f"arn:{number}"))
    await one.end(a_summary(Verdict.SUCCEEDED, start=a_start(shard="1/2"), errors=()))
    environment = [{"name": "RUN_KEY", "value": "k"}, {"name": "SHARD", "value": "2/2"}]
    overrides = {"containerOverrides": [{"name": "worker", "environment": environment}]}
    await report(an_event("Spot, killed after two minutes", overrides=overrides, taskArn="arn:2"), outside.doors)
    run = await outside.world.reader.find("poll-payments:k")
    assert run is not None
    assert [part.status for part in run.parts] == ["succeeded", "running"]
    assert [message["text"][0] for message in outside.posted] == ["🔁"]


async def test_reporter_closes_a_run_whose_task_had_all_shards(run_store: StoreWorld, aws: Aws) -> None:
    """`--shards` makes them in one task: with it they are all over, in every kind of run store; one of another task is not."""
    for number, task in ((1, TASK), (2, TASK), (3, "arn:another")):
        shard = {"shard": Shard(number, 3), "bounds": [[10], [20]], "task_arn": task}
        await granted(run_store.stores[number - 1], a_claim("k", **shard))
    overrides = {"containerOverrides": [{"name": "worker", "environment": [{"name": "RUN_KEY", "value": "k"}]}]}
    async with room(run_store, aws) as outside:
        await report(an_event("out of memory", overrides=overrides), outside.doors)
        run = await run_store.reader.find("poll-payments:k")
        assert run is not None
        assert [part.status for part in run.parts] == ["interrupted", "interrupted", "running"]
        await run_store.stores[2].end(a_summary(Verdict.SUCCEEDED, start=a_start(shard="3/3"), errors=()))
        run = await run_store.reader.find("poll-payments:k")
        assert run is not None
        assert (run.status, run.detail) == ("interrupted", "shards 1/3, 2/3: killed")


async def test_reporter_keeps_the_next_command_to_what_may_be_shown(outside: Room) -> None:
    """A scope is part of it; one with secrets is not told."""
    await begun(outside.world, task_arn=TASK, scope={"merchant_id": 42}, whole_scope=b'{"merchant_id":42}')
    await report(an_event("SIGKILL without a reason"), outside.doors)
    assert "--scope merchant_id=42" in text_of(outside.posted[0])


def test_reporter_shows_no_secret_of_a_task_that_never_began_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody gave it to ECS in plain words, the run store has not masked it."""

    class Hidden(Scope):
        token: Secret | None = None
        shop: int | None = None

    job = type("Hides", (Job,), {"Scope": Hidden})
    monkeypatch.setattr(registry, "load", lambda name: job)
    assert command_scope(None, "hides", {"RUN_KEY": "k", "JOB_SHOP": "42"}) == "--scope shop=42"
    assert command_scope(None, "hides", {"JOB_SHOP": "42", "JOB_TOKEN": "s3cret"}) is None
    monkeypatch.undo()
    assert command_scope(None, "nobody", {"JOB_TOKEN": "s3cret"}) is None
    assert command_scope(None, "nobody", {}) == ""


async def test_reporter_alerts_though_slack_and_datadog_are_down(world: StoreWorld, aws: Aws) -> None:
    """They cost a bounded time and a log line; the event is done."""
    async with room(world, aws, Reply(404, b"no_service")) as outside:
        outside.datadog.down = True
        await report(an_event("SIGKILL without a reason"), outside.doors)
        assert len(outside.alerts()) == 1


async def test_reporter_alerts_though_the_run_store_is_down_and_keeps_the_event(world: StoreWorld, aws: Aws) -> None:
    """Nothing is started again in the dark; Lambda is told to try again, and then all of it is done."""
    async with room(world, aws) as outside:
        store = outside.doors.books.reader._link  # type: ignore[attr-defined]
        away, url = "postgresql://postgres@127.0.0.1:1/away", store.url
        links = [store, world.marks[0]._link, world.launches[0]._link]  # type: ignore[attr-defined]
        for link in links:
            await link.close()
            link.url = away
        event = an_event("Spot, killed after two minutes", stoppedAt=NOW)
        with pytest.raises(RuntimeError, match="the run store did not tell of the run: database"):
            await report(event, outside.doors)
        assert (len(outside.alerts()), outside.posted, outside.asked) == (1, [], [])
        for link in links:
            link.url = url
        await report(event, outside.doors)
        assert (len(outside.alerts()), len(outside.posted), len(outside.asked)) == (1, 1, 1)
        assert len(outside.datadog.points) == 1


async def test_reporter_starts_nothing_again_in_the_dark(outside: Room) -> None:
    """Whether 75 was a deadline is for the run store to say."""
    await outside.doors.books.reader._link.close()  # type: ignore[attr-defined]
    outside.doors.books.reader._link.url = "postgresql://postgres@127.0.0.1:1/away"  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="the run store did not tell"):
        await report(an_event("the database was away"), outside.doors)
    assert outside.asked == []


async def test_reporter_starts_a_run_again_once_though_its_event_comes_late(outside: Room) -> None:
    """The task that was started again is over by then."""
    event = an_event("Spot, killed after two minutes", startedBy="")
    await report(event, outside.doors)
    [live] = await outside.world.launches[0].live()
    await report(an_event("all done", taskArn="arn:second", startedBy=live.id), outside.doors)
    await report(event, outside.doors)
    assert len(outside.asked) == 1


async def test_reporter_starts_a_launched_run_again_once_though_its_event_comes_late(outside: Room) -> None:
    """Its successor was stopped by somebody meanwhile: the old news does not undo that."""
    await outside.launch({"job": "poll-payments", "run_key": RUN.partition(":")[2]})
    [first] = await outside.world.launches[0].live()
    event = an_event("Spot, drained in time", startedBy=first.id)
    await report(event, outside.doors)
    [second] = await outside.world.launches[0].live()
    stopped = an_event("stopped by hand before it ran", taskArn="arn:second", startedBy=second.id)
    await report(stopped, outside.doors)
    await report(event, outside.doors)
    assert await outside.world.launches[0].live() == []


async def test_reporter_leaves_it_to_a_pipeline_to_start_its_task_again(outside: Room) -> None:
    """A command says more than the launcher would: whoever started it waits for it, and starts it again."""
    override = {
        "name": "worker",
        "command": ["poll-payments", "--wait"],
        "environment": [{"name": "RUN_KEY", "value": "k"}],
    }
    event = an_event(
        "Spot, drained in time", overrides={"containerOverrides": [override]}, startedBy="AWS Step Functions"
    )
    assert (await report(event, outside.doors))["again"] is None
    assert outside.asked == []


async def test_reporter_keeps_the_event_where_sns_is_down(outside: Room) -> None:
    """The alert is the one that must not be lost; what was done meanwhile is not done twice."""
    broken = replace(outside.doors.found, alerts_topic="arn:aws:sns:eu-central-1:123456789012:gone")
    teller = replace(outside.doors.teller, found=broken)
    event = an_event("Spot, killed after two minutes")
    with pytest.raises(RuntimeError, match="nobody was alerted: sns publish: NotFound"):
        await report(event, replace(outside.doors, found=broken, teller=teller))
    await report(event, outside.doors)
    assert (len(outside.alerts()), len(outside.posted), len(await outside.world.launches[0].live())) == (1, 1, 1)


async def test_reporter_keeps_the_event_while_there_is_no_room(outside: Room) -> None:
    """Another run of the job is live: this one is tried again later."""
    await outside.launch({"job": "poll-payments", "run_key": "other"})
    with pytest.raises(RuntimeError, match="not started again yet: no room for"):
        await report(an_event("Spot, killed after two minutes"), outside.doors)


async def test_reporter_refuses_what_is_no_stopped_task(outside: Room) -> None:
    """It goes to the dead letters."""
    with pytest.raises(ValueError, match="no ECS Task State Change"):
        await report({"detail-type": "something else"}, outside.doors)


async def test_reporter_tells_of_an_attempt_whose_run_was_taken_over(outside: Room) -> None:
    """The task that was killed is told of with the counts of the run, although another attempt works on it now."""
    _, two, _ = outside.world.stores
    await begun(outside.world, task_arn=TASK)
    claim = a_claim("2026-11-24T02:00:00Z", task_arn="arn:other")
    held = await two.claim(claim)
    assert isinstance(held, Held)
    await two.claim(claim, successor_of=held)
    await report(an_event("SIGKILL without a reason"), outside.doors)
    assert "2 read = 2 done" in text_of(outside.posted[0])
