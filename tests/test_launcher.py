"""worker/aws/launcher.py: a run's task is started once, whatever ECS says at first."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio
from cutting import cutting
from launching import JOB, World, launching, register, register_waiting
from local_ecs import LocalEcs

from worker.aws.calls import Calls
from worker.aws.cluster import Cluster
from worker.aws.letters import shown
from worker.aws.overrides import LONGEST, length, overrides
from worker.aws.placing import PATIENCE_S, Placing
from worker.errors import Transient
from worker.job import Job
from worker.launches import FAILED, OVER, PLACED, RESERVED, STALE, Full, Known, Launched, Refused, Unplaced
from worker.registry import load
from worker.request import read
from worker.retry import Retry
from worker.scope import Scope, Secret
from worker.size import Size


@pytest_asyncio.fixture
async def world(local_ecs: LocalEcs, database_url: str) -> AsyncIterator[World]:
    """Give a launcher; its tasks never start."""
    register(local_ecs, JOB)
    async with launching(local_ecs, database_url) as world:
        yield world


@pytest.fixture
def waiting(world: World) -> Iterator[World]:
    """Give a launcher whose tasks live until they are struck."""
    register_waiting(world.ecs, JOB, "STRIPE_API_KEY")
    yield world
    for task in world.ecs.tasks():
        if task["lastStatus"] != "STOPPED":
            world.ecs.strike(task["taskArn"], "killed")


async def test_launch_starts_a_task_that_knows_why_it_was_started(world: World) -> None:
    """Run key, correlation id, trigger, scheduled time, who, and the scope; one id for all that ECS knows by different names."""
    at = "2026-11-24T02:00:00Z"
    answer = await world.launch(run_key=at, scheduled_time=at, started_by="schedule/x", scope={"merchant_id": 42})
    assert isinstance(answer, Launched)
    task = world.ecs.task(answer.task_arn)
    [override] = [each for each in task["overrides"]["containerOverrides"] if each["name"] == "worker"]
    told = {pair["name"]: pair["value"] for pair in override["environment"]}
    assert told == {
        "RUN_KEY": at,
        "CORRELATION_ID": answer.launch.id,
        "TRIGGER": "scheduler",
        "SCHEDULED_TIME": at,
        "STARTED_BY": "schedule/x",
        "JOB_MERCHANT_ID": "42",
    }
    assert (task["startedBy"], task["group"]) == (answer.launch.id, f"family:{JOB}")
    assert "command" not in override
    [row] = await world.launches.live()
    assert (row.state, row.task_arn) == (PLACED, answer.task_arn)


def test_launch_asks_for_a_private_network_and_the_definition_s_tags() -> None:
    """One id is token and starter; tags are what cost is told apart by."""
    cluster = Cluster(name="batch", subnets=("subnet-1", "subnet-2"), security_groups=("sg-1",))
    asked = cluster.arguments(read({"job": JOB, "run_key": "k"}, load), "id-1")
    network = {"subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}
    assert asked == {
        "cluster": "batch",
        "taskDefinition": JOB,
        "count": 1,
        "clientToken": "id-1",
        "startedBy": "id-1",
        "networkConfiguration": {"awsvpcConfiguration": network},
        "overrides": asked["overrides"],
        "propagateTags": "TASK_DEFINITION",
        "launchType": "FARGATE",
    }


async def test_launch_of_a_dry_run_or_canary_says_so_on_the_command_line(world: World) -> None:
    """They use up no run key."""
    answer = await world.launch(dry_run=True, max_records=5, max_affected=3)
    [override, *_] = world.ecs.task(answer.task_arn)["overrides"]["containerOverrides"]
    assert override["command"] == [JOB, "--dry-run", "--max-records", "5", "--max-affected", "3"]
    assert answer.launch.run_id.startswith(f"{JOB}:night~dry-")


async def test_launch_twice_is_known(world: World) -> None:
    """At once, one after the other, and once it is over."""
    both = await asyncio.gather(world.launch(), world.launch())
    assert {type(answer) for answer in both} == {Launched, Known}
    [arn] = {answer.task_arn for answer in both}
    assert (await world.launch()).state in (PLACED, OVER)
    launch = next(answer.launch for answer in both if isinstance(answer, Launched))
    await world.ecs.until(arn, "STOPPED")
    assert await world.launch() == Known(f"{JOB}:night", OVER, arn)  # nobody had said so: it was looked up
    await world.launches.released(launch.id, "exit 0")
    assert await world.launch() == Known(f"{JOB}:night", OVER, arn)
    assert isinstance(await world.launch(trigger="hand"), Launched)
    assert len(world.ecs.tasks()) == 2


async def test_launch_says_all_that_is_wrong_at_once(world: World) -> None:
    """And starts nothing."""
    answer = await world.launch(scope={"merchant": 1}, trigger="cron")
    assert isinstance(answer, Refused)
    assert len(answer.faults) == 2
    assert await world.launches.live() == []


async def test_launch_with_two_scopes_is_refused(world: World) -> None:
    """One of them would be worked on, and the other not."""
    answer = await world.launch(scope={"merchant_id": 42}, scope_ref="s3://bucket/key")
    assert "scope or scope_ref, not both" in str(answer)


@pytest.mark.parametrize(
    "trouble", ["failures", "agent", "capacity", "no capacity", "throttled", "throttled in disguise", "server error"]
)
async def test_launch_is_tried_again(world: World, trouble: str) -> None:
    """What passes is waited for."""
    world.ecs.plant(trouble)
    answer = await world.launch()
    assert isinstance(answer, Launched)
    assert [task["taskArn"] for task in world.ecs.tasks()] == [answer.task_arn]


@pytest.mark.parametrize("before", [(), ("failures", "failures", "throttled")], ids=["first", "last"])
async def test_launch_finds_its_ghost(waiting: World, before: tuple[str, ...]) -> None:
    """Failures to the end, and a task all the same: it is found, and not doubled."""
    for trouble in (*before, "ghost"):
        waiting.ecs.plant(trouble)
    if before:
        waiting.ecs.plant("throttled", "ListTasks")
    answer = await waiting.launch()
    assert isinstance(answer, Launched)
    assert [task["taskArn"] for task in waiting.ecs.tasks()] == [answer.task_arn]


@pytest.mark.parametrize("then", ["", "throttled"])
async def test_launch_finds_its_task_though_the_answer_was_lost(
    local_ecs: LocalEcs, database_url: str, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    """The connection broke after RunTask had started it: it is looked up, and where that fails the same token gives the same task."""
    register_waiting(local_ecs, JOB, "STRIPE_API_KEY")
    if then:
        local_ecs.plant(then, "ListTasks")
    async with cutting(local_ecs.environment["AWS_ENDPOINT_URL"], 0) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL_ECS", between.url)
        async with launching(local_ecs, database_url) as world:
            answer = await world.launch()
    assert between.cuts == [], "it was cut"
    assert isinstance(answer, Launched)
    [task] = local_ecs.tasks()
    assert task["taskArn"] == answer.task_arn
    local_ecs.strike(answer.task_arn, "killed")


async def test_launch_that_ecs_has_no_room_for_is_unplaced(world: World) -> None:
    """It takes no room under the caps, and may come again."""
    for _ in range(4):
        world.ecs.plant("capacity")
    answer = await world.launch()
    assert isinstance(answer, Unplaced)
    assert "Capacity is unavailable" in str(answer)
    assert await world.launches.live() == []
    assert isinstance(await world.launch(), Launched)


async def test_launch_of_which_nothing_can_be_told_keeps_its_room(world: World) -> None:
    """Neither RunTask nor ListTasks answers: it may have a task; whoever comes a minute later finds out."""
    for _ in range(4):
        world.ecs.plant("capacity")
        world.ecs.plant("throttled", "ListTasks")
    with pytest.raises(Transient, match="list_tasks"):
        await world.launch()
    assert [row.state for row in await world.launches.live()] == [RESERVED]


async def test_placing_ends_before_its_reservation_is_taken_for_a_dead_one_s(local_ecs: LocalEcs) -> None:
    """However long ECS asks for patience."""
    assert timedelta(seconds=PATIENCE_S) < STALE
    register(local_ecs, JOB)
    for _ in range(50):
        local_ecs.plant("throttled")
    async with Calls("test") as calls:
        placing = Placing(calls, local_ecs.cluster, Retry(attempts=50, first=0.1, longest=0.1), patience_s=0.3)
        with pytest.raises(Transient, match=r"no task within 0\.3 s"):
            await placing.place({"cluster": local_ecs.cluster, "taskDefinition": JOB, "startedBy": "x"})
    assert local_ecs.troubles()


async def test_placing_asks_for_many_tasks_a_hundred_at_a_time(local_ecs: LocalEcs) -> None:
    """ECS takes no more in one call."""
    arns = [f"arn:aws:ecs:eu-central-1:123456789012:task/{local_ecs.cluster}/{number:032x}" for number in range(101)]
    async with Calls("test") as calls:
        assert await Placing(calls, local_ecs.cluster).stopped(arns) == dict.fromkeys(arns, "MISSING")


async def test_launch_that_is_refused_for_good_is_refused(world: World) -> None:
    """No second try, and the reason."""
    for trouble, reason in (("access denied", "not authorized"), ("attribute", "ATTRIBUTE")):
        world.ecs.plant(trouble)
        answer = await world.launch()
        assert isinstance(answer, Refused)
        assert reason in str(answer)
    assert "no job" in str(await world.launch(job="poll-payment"))


async def test_launch_whose_launcher_died_gets_the_same_task(waiting: World) -> None:
    """Killed after RunTask, before it could note the task: whoever comes later is handed it by its token."""
    first = await waiting.launch()
    await waiting.sql(
        "UPDATE worker.launches SET state = 'reserved', task_arn = NULL, reserved_at = now() - interval '2 min'"
    )
    again = await waiting.launch()
    assert isinstance(again, Launched)
    assert again.task_arn == first.task_arn


async def test_launch_with_other_words_than_the_dead_launcher_attaches(waiting: World) -> None:
    """ConflictException: the task that it names is ours, unless it has stopped."""
    first = await waiting.launch()
    forget = "UPDATE worker.launches SET state = 'reserved', reserved_at = now() - interval '2 min'"
    await waiting.sql(forget)
    again = await waiting.launch(started_by="somebody else")
    assert isinstance(again, Launched)
    assert again.task_arn == first.task_arn
    waiting.ecs.strike(first.task_arn, "killed")
    await waiting.ecs.until(first.task_arn, "STOPPED")
    await waiting.sql(forget)
    assert isinstance(await waiting.launch(started_by="a third"), Known)
    await waiting.sql(forget)
    waiting.ecs.forget(first.task_arn)
    meant = await waiting.launch(trigger="hand")
    assert isinstance(meant, Launched)
    assert (meant.launch.number, meant.task_arn != first.task_arn) == (2, True)


async def test_launch_whose_token_is_of_another_store_takes_the_next(world: World) -> None:
    """The run store was made anew within a day: what had stopped before is not this launch's task."""
    first = await world.launch()
    await world.ecs.until(first.task_arn, "STOPPED")
    await world.sql("DELETE FROM worker.launches")
    again = await world.launch()
    assert isinstance(again, Launched)
    assert (again.launch.number, again.task_arn != first.task_arn) == (2, True)
    assert [row["state"] for row in await world.sql("SELECT state FROM worker.launches ORDER BY number")] == [
        FAILED,
        PLACED,
    ]


async def test_launch_over_the_cap_is_full_until_a_task_has_stopped(world: World) -> None:
    """Nobody has to say so: the launcher looks, when there seems to be no room."""
    first = await world.launch()
    await world.ecs.until(first.task_arn, "STOPPED")
    assert isinstance(await world.launch(run_key="other"), Launched)
    [row] = await world.sql("SELECT reason FROM worker.launches WHERE state = 'over'")
    assert "unable to pull secrets" in row["reason"]


async def test_launch_that_was_reserved_and_never_placed_holds_no_cap_for_ever(world: World) -> None:
    """After a minute its launcher is dead; before, it is not."""
    first = await world.launch()
    await world.ecs.until(first.task_arn, "STOPPED")
    await world.sql("UPDATE worker.launches SET state = 'reserved', task_arn = NULL, reserved_at = now()")
    assert isinstance(await world.launch(run_key="other"), Full)
    await world.sql("UPDATE worker.launches SET reserved_at = now() - interval '61 s'")
    assert isinstance(await world.launch(run_key="other"), Launched)
    [row] = await world.sql("SELECT reason FROM worker.launches WHERE state = 'failed'")
    assert "launcher died" in row["reason"]


async def test_launch_whose_task_ecs_does_not_know_yet_keeps_its_room(waiting: World) -> None:
    """DescribeTasks lags behind RunTask: MISSING is believed of an old one alone."""
    first = await waiting.launch()
    waiting.ecs.strike(first.task_arn, "killed")
    await waiting.ecs.until(first.task_arn, "STOPPED")
    waiting.ecs.forget(first.task_arn)
    assert isinstance(await waiting.launch(run_key="other"), Full)
    await waiting.sql("UPDATE worker.launches SET reserved_at = now() - interval '61 s'")
    assert isinstance(await waiting.launch(run_key="other"), Launched)


async def test_launch_whose_launcher_died_behind_run_task_keeps_its_room(waiting: World) -> None:
    """Its task is found by its id when somebody else needs the room, and is noted."""
    first = await waiting.launch()
    await waiting.sql(
        "UPDATE worker.launches SET state = 'reserved', task_arn = NULL, reserved_at = now() - interval '61 s'"
    )
    assert isinstance(await waiting.launch(run_key="other"), Full)
    [row] = await waiting.launches.live()
    assert (row.state, row.task_arn) == (PLACED, first.task_arn)


class Token(Scope):
    """A secret, and more than fits."""

    token: Secret | None = None
    ids: tuple[str, ...] = ()


class Several(Job[Token]):
    """Two tasks at a time."""

    name = JOB
    one_per_scope, max_tasks = True, 2


async def test_launch_under_the_key_of_another_scope_is_refused(waiting: World) -> None:
    """Also where they differ in nothing that is shown."""
    waiting.launcher.load = lambda name: Several
    bucket = waiting.ecs.bucket()
    async with launching(waiting.ecs, waiting.url, bucket=bucket) as other:
        other.launcher.load = waiting.launcher.load
        assert isinstance(await other.launch(scope={"token": "one"}), Launched)
        for scope in ({"token": "two"}, {"token": "one", "ids": ["1"]}):
            answer = await other.launch(scope=scope, trigger="hand")
            assert isinstance(answer, Refused)
            assert "was used with another scope" in str(answer)
        assert isinstance(await other.launch(scope={"token": "one"}), Known)


async def test_launch_counts_the_tasks_of_a_job(waiting: World) -> None:
    """Each scope and each shard has a lease of its own, a dry run one beside them; together they are `max_tasks` at most."""
    waiting.launcher.load = lambda name: Several
    asked: list[dict[str, Any]] = [
        {"run_key": "a", "shard": "1/3"},
        {"run_key": "a", "shard": "2/3"},
        {"run_key": "a", "shard": "3/3"},
        {"run_key": "b", "scope": {"ids": ["1"]}},
        {"run_key": "c", "dry_run": True},
        {"run_key": "d", "dry_run": True},
    ]
    answers = [await waiting.launch(**values) for values in asked]
    assert [type(answer) for answer in answers] == [Launched, Launched, Full, Full, Launched, Full]
    assert ["max_tasks" in str(answer) for answer in answers] == [False, False, True, True, False, False]
    shards = [told(waiting, answer)["SHARD"] for answer in answers[:2]]
    assert shards == ["1/3", "2/3"]


def told(world: World, answer: Launched) -> dict[str, str]:
    """Give the environment of the worker that a launch has started."""
    [override] = world.ecs.task(answer.task_arn)["overrides"]["containerOverrides"][:1]
    return {pair["name"]: pair["value"] for pair in override["environment"]}


async def test_launch_by_itself_again_follows_its_task_once(world: World) -> None:
    """What the reporter asks for: the same news twice starts one task."""
    first = await world.launch()
    await world.ecs.until(first.task_arn, "STOPPED")
    launch = await world.launches.released(first.launch.id, "Spot", first.task_arn)
    assert launch is not None
    again = {**launch.request, "trigger": "resume", "after": launch.number}
    second = await world.launcher.launch(again)
    assert isinstance(second, Launched)
    assert (second.launch.number, second.launch.restarts) == (2, 1)
    await world.launches.released(second.launch.id, "Spot")
    assert isinstance(await world.launcher.launch(again), Known)


class Sized(Job[Token]):
    """As large as its scope."""

    name = JOB

    @classmethod
    def sized(cls, scope: Token) -> Size:
        """Give more for many."""
        return Size(cpu=1024, memory=4096) if scope.ids else Size(spot=True)


async def test_launch_has_the_size_and_the_capacity_of_its_scope(local_ecs: LocalEcs, database_url: str) -> None:
    """Strings at the task, integers at the container; Spot by its provider, Fargate by its type."""
    register(local_ecs, JOB)
    async with launching(local_ecs, database_url) as world:
        world.launcher.load = lambda name: Sized
        large, spot = await world.launch(scope={"ids": ["1"]}), await world.launch(run_key="b", dry_run=True)
        task = local_ecs.task(large.task_arn)
        assert (task["cpu"], task["memory"], task["launchType"]) == ("1024", "4096", "FARGATE")
        assert task["overrides"]["containerOverrides"][0]["memory"] == 4096 - 512
        assert local_ecs.task(spot.task_arn)["capacityProviderName"] == "FARGATE_SPOT"
        await world.launches.released(spot.launch.id, "Spot interruption")
        again = await world.launcher.launch({**spot.launch.request, "trigger": "resume", "after": 1})
        assert isinstance(again, Launched)
        assert "capacityProviderName" not in local_ecs.task(again.task_arn), "the third Spot in a row might go, too"


async def test_launch_keeps_large_and_secret_scopes_out_of_the_overrides(
    local_ecs: LocalEcs, database_url: str
) -> None:
    """They go by reference, for which there must be a bucket; the run store and a restart know no more than that."""
    register(local_ecs, JOB)
    bucket = local_ecs.bucket()
    asked: Any = {"scope": {"token": "hush-hush", "ids": ["one"]}}
    async with launching(local_ecs, database_url) as world:
        world.launcher.load = lambda name: Sized
        assert "LAUNCH_BUCKET" in str(await world.launch(**asked))
        assert "8,192" in str(await world.launch(scope={"ids": [f"{number:06d}" for number in range(1_000)]}))
    async with launching(local_ecs, database_url, bucket=bucket) as world:
        world.launcher.load = lambda name: Sized
        answer = await world.launch(**asked)
        assert isinstance(answer, Launched)
        told = str([local_ecs.task(answer.task_arn), await world.sql("SELECT * FROM worker.launches")])
        assert "hush" not in told
        assert (ref := answer.launch.request["scope_ref"]).startswith(f"s3://{bucket}/scopes/{JOB}/")
        assert ref in told
        right, wrong = {"job": JOB, **asked}, {"job": JOB, "scope": {"token": "hush-hush", "x": 1}}
        letter = await shown(world.launcher, right)
        assert "hush" not in str([letter, await shown(world.launcher, wrong)]), "this is what dead letters hold"
        assert letter["scope_ref"] == ref
        assert await shown(world.launcher, {"job": JOB, "scope": {"ids": ["1"]}}) == {
            "job": JOB,
            "scope": {"ids": ["1"]},
        }
        request = await world.launcher.read(answer.launch.request)
        assert (request.scope.token, request.scope.ids) == ("hush-hush", ("one",))  # type: ignore[attr-defined]


@pytest.mark.parametrize("letter", ["x", "ü", "\N{OWL}", '"'])
async def test_launch_passes_what_just_fits_and_no_more(local_ecs: LocalEcs, database_url: str, letter: str) -> None:
    """8,192 characters as they are sent: JSON's punctuation, and six for a letter that is not ASCII."""
    register(local_ecs, JOB)
    bucket = local_ecs.bucket()

    def size(text: str) -> int:
        request = read({"job": JOB, "run_key": "k", "scope": {"ids": [text]}}, lambda name: Sized)
        return length(overrides(request, "x" * 64))

    filled = letter * 200 + "x" * (LONGEST - size(letter * 200))
    assert size(filled) == LONGEST
    async with launching(local_ecs, database_url, bucket=bucket, most=10) as world:
        world.launcher.load = lambda name: Sized
        told = []
        for key, text in (("k", filled), ("l", f"{filled}x")):
            answer = await world.launch(run_key=key, scope={"ids": [text]}, trigger="hand")
            assert isinstance(answer, Launched), answer
            told.append("SCOPE_REF" in str(local_ecs.task(answer.task_arn)["overrides"]))
            await world.launches.released(answer.launch.id, "over")
    assert told == [False, True]


async def test_launch_goes_on_with_the_revision_that_is_named(world: World) -> None:
    """A release between interruption and restart changes nothing for the run."""
    before = world.ecs.ecs.describe_task_definition(taskDefinition=JOB)["taskDefinition"]
    world.ecs.register(JOB, {}, {})
    old = await world.launch(run_key="old", revision=before["revision"])
    assert isinstance(old, Launched)
    assert world.ecs.task(old.task_arn)["taskDefinitionArn"] == before["taskDefinitionArn"]
