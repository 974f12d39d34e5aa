"""worker/functions/launcher.py: the launcher as Lambda calls it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from launch_events import RULE, SCHEDULER, batch, created
from launching import JOB, World, environment, launching, register
from local_ecs import LocalEcs
from test_launcher import Sized
from test_launches import asked

from worker.aws import placing
from worker.aws.calls import Calls
from worker.aws.letters import Letters, Undeliverable
from worker.errors import Permanent, Transient
from worker.functions import secrets as function_secrets
from worker.functions.launcher import _Door, handler
from worker.launches import Reserved
from worker.retry import Retry


class Function:
    """The function in its environment, with a queue for dead letters."""

    def __init__(self, world: World, letters: str) -> None:
        self.world, self.queue = world, letters

    async def __call__(self, event: Any) -> dict[str, Any]:
        """Call it as Lambda does: in a thread that has no event loop."""
        return await asyncio.to_thread(handler, event, SimpleNamespace(aws_request_id="request-1"))

    def letters(self) -> list[dict[str, Any]]:
        """Take the dead letters."""
        return self.world.ecs.received(self.queue)

    def runs(self) -> list[str]:
        """Give the run keys of all tasks."""
        told = [task["overrides"]["containerOverrides"][0]["environment"] for task in self.world.ecs.tasks()]
        return [{pair["name"]: pair["value"] for pair in pairs}["RUN_KEY"] for pairs in told]


@pytest_asyncio.fixture
async def function(local_ecs: LocalEcs, database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Function]:
    """Give the function; its tasks never start."""
    letters = local_ecs.sqs.create_queue(QueueName=f"{local_ecs.cluster}-letters")["QueueUrl"]
    for name, value in environment(local_ecs, DATABASE_URL=database_url, LAUNCH_DEAD_LETTERS=letters).items():
        monkeypatch.setenv(name, value)
    register(local_ecs, JOB)
    async with launching(local_ecs, database_url) as world:
        yield Function(world, letters)


async def test_function_starts_what_fires_twice_once(function: Function) -> None:
    """A schedule, as Scheduler and as a rule: the same time is the same run."""
    answers = [await function(event) for event in (SCHEDULER, SCHEDULER, RULE)]
    assert [answer["answers"][0]["answer"] for answer in answers] == ["launched", "known", "known"]
    assert function.runs() == ["2026-11-23T02:00:00Z"]
    assert function.letters() == []


async def test_function_puts_a_poison_event_aside(function: Function) -> None:
    """With all its faults and the request's id; it does not come again."""
    event = {"job": "poll-payment", "scop": {}}
    assert (await function(event))["answers"][0]["answer"] == "refused"
    [letter] = function.letters()
    assert (letter["event"], letter["request_id"]) == (event, "request-1")
    assert "did you mean 'poll-payments'?" in letter["reason"]
    assert "did you mean 'scope'?" in letter["reason"]


async def test_function_takes_a_tick_while_its_job_is_at_work_for_overlapped(function: Function) -> None:
    """Every five minutes one may come while a run takes twenty: nobody is paged for it; a cap of all jobs is another matter."""
    held = await function.world.launches.reserve(asked())
    assert isinstance(held, Reserved)
    for event in (SCHEDULER, RULE):
        [answer] = (await function(event))["answers"]
        assert answer["said"].endswith("is known: overlapped")
    assert function.letters() == []


async def test_function_keeps_a_tick_that_came_while_all_tasks_were_taken(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job's: the run that was due is nobody else's work, and somebody must hear of it; a queue's backlog is looked at again."""
    other = await function.world.launches.reserve(asked(job="other", lease="other"))
    assert isinstance(other, Reserved)
    monkeypatch.setenv("LAUNCH_MAX_TASKS", "1")
    [answer] = (await function(SCHEDULER))["answers"]
    assert answer["answer"] == "full"
    [letter] = function.letters()
    assert "1 of at most 1 tasks (LAUNCH_MAX_TASKS)" in letter["reason"]
    queue = function.world.ecs.sqs.create_queue(QueueName=f"{function.world.ecs.cluster}-hooks")["QueueUrl"]
    function.world.ecs.sqs.send_message(QueueUrl=queue, MessageBody="hook")
    register(function.world.ecs, "deliver-webhooks", WEBHOOK_QUEUE_URL=queue)
    tick = {"job": "deliver-webhooks", "backlog": True}
    assert (await function(tick))["answers"] == []
    assert function.letters() == []
    monkeypatch.setenv("LAUNCH_MAX_TASKS", "2")
    assert [each["answer"] for each in (await function(tick))["answers"]] == ["launched"]


async def test_function_shows_no_secret_in_its_dead_letters(function: Function) -> None:
    """Whoever reads the queue may not see what the scope hides."""
    function.world.launcher.load = lambda name: Sized
    async with Calls("test") as calls:
        door = _Door(function.world.launcher, Letters(calls, function.queue), "request-1")
        await door.event({"job": JOB, "scope": {"token": "hush-hush", "x": 1}})
    [letter] = function.letters()
    assert "hush" not in str(letter)
    assert "no field 'x'" in letter["reason"]


async def test_function_takes_a_dead_letter_that_is_put_back(function: Function) -> None:
    """Once its reason is gone: here, the cap."""
    await function(SCHEDULER)
    launch = (await function.world.launches.live())[0]
    await function.world.sql("UPDATE worker.launches SET state = 'reserved', task_arn = NULL, reserved_at = now()")
    later = {**SCHEDULER, "run_key": "later", "trigger": "s3"}
    assert (await function(later))["answers"][0]["answer"] == "full"
    [letter] = function.letters()
    assert "share the lease" in letter["reason"]
    await function.world.launches.released(launch.id, "exit 0")
    assert (await function(letter))["answers"][0]["answer"] == "launched"
    assert "later" in function.runs()


async def test_function_gives_back_the_messages_that_may_start_later(function: Function) -> None:
    """Those over the cap alone; poison is put aside, and what was started stays started."""
    function.world.ecs.plant("access denied")
    refused = batch({"job": JOB, "run_key": "a"})
    assert await function(refused) == {"batchItemFailures": []}
    assert "not authorized" in function.letters()[0]["reason"]
    held = await function.world.launches.reserve(asked())
    assert isinstance(held, Reserved)
    some = batch({"job": JOB, "run_key": "one"}, "poison", {"job": JOB, "dry": True}, {"job": JOB, "run_key": "two"})
    failures = (await function(some))["batchItemFailures"]
    assert failures == [{"itemIdentifier": "message-0"}, {"itemIdentifier": "message-3"}]
    assert sorted(str(letter["event"])[:6] for letter in function.letters()) == ["poison", "{'job'"]
    await function.world.launches.failed(held.launch, "no more")
    await function(batch({"job": JOB, "run_key": "one"}))
    assert function.runs() == ["one"]


async def test_function_starts_what_comes_beside_the_worst_poison(function: Function) -> None:
    """Whatever is wrong with one message, the others of its batch are done with."""
    deep, rule, thing = "[" * 50_000, {"source": "aws.events", "time": 5, "resources": None}, created()
    thing["detail"]["object"]["key"] = 7
    assert await function(batch(deep, rule, thing, {"job": JOB, "run_key": "one"})) == {"batchItemFailures": []}
    assert function.runs() == ["one"]
    assert len(function.letters()) == 3


@pytest.mark.parametrize(
    "event",
    [
        None,
        7,
        [SCHEDULER],
        {"Records": [7]},
        {"job": "\ud800"},
        {"job": JOB, "started_by": "\ud800"},
        created(key="uploads/\ud800"),
        {"job": JOB, "run_key": "<aws.scheduler.scheduled-time>"},
        {"job": JOB, "scope": {"merchant_id": "a" * 300_000}},
        {"job": JOB, "scope": {"merchant_id": 1}, "scope_ref": "s3://bucket/key"},
    ],
    ids=lambda event: ascii(event)[:40],
)
async def test_function_refuses_nonsense_and_keeps_it(function: Function, event: Any) -> None:
    """Whatever it is: it is answered, starts nothing, and is in the dead letters with a reason."""
    [answer] = (await function(event))["answers"]
    assert answer["answer"] == "refused"
    [letter] = function.letters()
    assert (letter["event"], letter["reason"]) == (event, answer["said"])
    assert answer["said"]
    assert function.runs() == []


async def test_function_starts_one_task_though_twenty_of_it_are_told_at_once(function: Function) -> None:
    """Each with connections of its own, as Lambda runs them."""
    answers = await asyncio.gather(*(function(event) for event in [SCHEDULER, RULE] * 10))
    told = Counter(answer["answers"][0]["answer"] for answer in answers)
    assert told == {"launched": 1, "known": 19}
    assert len(function.runs()) == 1


@pytest.mark.parametrize("where", ["{}/123456789012/nobody-s-queue", "http://127.0.0.1:1/123456789012/dead"])
async def test_function_keeps_the_event_while_its_dead_letters_are_away(
    function: Function, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Gone or out of reach: Lambda is to try the event again, and the queue its message; what starts beside it has started."""
    url = where.format(function.world.ecs.environment["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("LAUNCH_DEAD_LETTERS", url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", url.partition("/123456789012")[0])
    with pytest.raises((Transient, Permanent), match="sqs send_message"):
        await function({"job": "nobody"})
    with pytest.raises(Undeliverable, match="too large for LAUNCH_DEAD_LETTERS"):
        await function({"job": "nobody", "scope": {"a": "x" * 1_000_001}})
    failures = (await function(batch("poison", {"job": JOB, "run_key": "one"})))["batchItemFailures"]
    assert failures == [{"itemIdentifier": "message-0"}]
    assert function.runs() == ["one"]


async def test_function_runs_a_message_that_comes_again_once(function: Function) -> None:
    """Without a key of its own, its run is named after the message."""
    message = batch({"job": JOB})
    assert await function(message) == await function(message) == {"batchItemFailures": []}
    assert function.runs() == ["sqs-message-0"]


async def test_function_gives_back_what_ecs_had_no_room_for(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue delivers it again; of another event it is put aside."""
    monkeypatch.setattr(placing, "RETRY", Retry(attempts=2, first=0.01))
    for _ in range(4):
        function.world.ecs.plant("capacity")
    assert len((await function(batch(SCHEDULER)))["batchItemFailures"]) == 1
    assert (await function(SCHEDULER))["answers"][0]["answer"] == "unplaced"
    [letter] = function.letters()
    assert "Capacity is unavailable" in letter["reason"]


async def test_function_that_cannot_put_aside_keeps_the_event(
    function: Function, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lambda, or the queue, is told to keep it."""
    monkeypatch.setenv("LAUNCH_DEAD_LETTERS", "")
    assert len((await function(batch("poison")))["batchItemFailures"]) == 1
    with pytest.raises(Exception, match="LAUNCH_DEAD_LETTERS is not set"):
        await function({"job": "nobody"})


async def test_function_starts_the_job_of_an_object(function: Function) -> None:
    """Twice told, by EventBridge and through a queue: one task."""
    register(function.world.ecs, "digest-uploads")
    assert (await function(created()))["answers"][0]["answer"] == "launched"
    assert await function(batch(created())) == {"batchItemFailures": []}
    assert len(function.runs()) == 1


async def test_function_has_its_secrets_fetched(
    function: Function, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DATABASE_URL_ARN stands for DATABASE_URL; a field of a JSON secret as in task definitions."""
    arn = function.world.ecs.secret("database", json.dumps({"url": database_url}))
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("DATABASE_URL_ARN", f"{arn}:url::")
    assert (await function(SCHEDULER))["answers"][0]["answer"] == "launched"


async def test_function_fetches_a_secret_anew(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute later, so that one that was rotated is known; where Secrets Manager does not answer the one from before is good enough."""
    monkeypatch.setattr(function_secrets, "_fetched", {})
    arn = function.world.ecs.secret("slack", "old")
    environ = {"SLACK_WEBHOOK_URL_ARN": arn}
    await function_secrets.fill(environ)
    function.world.ecs.client("secretsmanager").put_secret_value(SecretId=arn, SecretString="new")
    await function_secrets.fill(environ)
    assert environ["SLACK_WEBHOOK_URL"] == "old"
    monkeypatch.setattr(function_secrets, "FRESH_S", 0.0)
    await function_secrets.fill(environ)
    assert environ["SLACK_WEBHOOK_URL"] == "new"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    await function_secrets.fill(environ)
    assert environ["SLACK_WEBHOOK_URL"] == "new"
    environ["SLACK_WEBHOOK_URL"] = "set by hand"
    await function_secrets.fill(environ)
    assert environ["SLACK_WEBHOOK_URL"] == "set by hand"
