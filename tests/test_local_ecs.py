"""The local ECS: it runs tasks as their definitions say, ends them as ECS does, and refuses what ECS refuses."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from botocore.exceptions import ClientError
from definitions import filled
from local_ecs import NETWORK, LocalEcs
from payments import Payments, payments

STATE = {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"]}
STOPPED = STATE | {"detail": {"lastStatus": ["STOPPED"]}}


@pytest_asyncio.fixture
async def world(database_url: str) -> AsyncIterator[Payments]:
    """Give payments and a provider."""
    async with payments(database_url, 20) as world:
        yield world


@pytest.fixture
def polling(local_ecs: LocalEcs, world: Payments) -> str:
    """Register poll-payments as its file has it, with secrets and addresses of this machine."""
    return registered(local_ecs, world, WORKER_RATE="10")


@pytest.fixture
def definition(local_ecs: LocalEcs) -> str:
    """Register a definition whose other commands are run: it has no database."""
    return local_ecs.register("poll-payments", {}, {})


def registered(local_ecs: LocalEcs, world: Payments, **more: str) -> str:
    """Register poll-payments with the world's secrets and addresses."""
    environment = world.environment | more
    secret = {name: environment.pop(name) for name in ("DATABASE_URL", "STRIPE_API_KEY")}
    return local_ecs.register("poll-payments", secret, environment)


async def test_local_ecs_runs_a_task_as_its_definition_and_its_overrides_say(
    local_ecs: LocalEcs, world: Payments
) -> None:
    """The process has plain variables, secrets and overrides, and finds itself; its exit code is the container's."""
    override = {"name": "worker", "environment": [{"name": "RUN_KEY", "value": "night"}], "memory": 400}
    events = local_ecs.listen(STATE)
    arn = local_ecs.run(
        registered(local_ecs, world),
        overrides={"containerOverrides": [override], "cpu": "1024", "memory": "2048"},
        startedBy="test",
    )
    task = await local_ecs.until(arn, "STOPPED")
    start = await local_ecs.line(arn, "started")
    assert (start["run_id"], start["task_arn"]) == ("poll-payments:night", arn)
    assert local_ecs.end(arn)["verdict"] == "succeeded"
    ended = ("EssentialContainerExited", "Essential container in task exited")
    assert (task["stopCode"], task["stoppedReason"]) == ended
    assert [container["exitCode"] for container in task["containers"]] == [0, 0, 0]
    assert (task["cpu"], task["memory"], task["containers"][0]["memory"]) == ("1024", "2048", "400")
    told = [event for event in local_ecs.received(events) if event["resources"] == [arn]]
    states = [event["detail"]["lastStatus"] for event in told]
    assert states == ["PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED"]
    assert [event["detail"]["version"] for event in told] == [1, 2, 3, 4, 5]
    detail = told[-1]["detail"]
    assert (detail["group"], detail["startedBy"]) == ("family:poll-payments", "test")
    assert detail["overrides"]["containerOverrides"] == [override, {"name": "datadog-agent"}, {"name": "log_router"}]


async def test_local_ecs_runs_another_command(local_ecs: LocalEcs, definition: str) -> None:
    """An override's command is what follows `python -m worker`; a usage error is exit code 2."""
    listed, unknown = local_ecs.run(definition, "list"), local_ecs.run(definition, "no-such-job")
    assert (await local_ecs.until(listed, "STOPPED"))["containers"][0]["exitCode"] == 0
    assert "poll-payments" in local_ecs.output(listed)
    assert (await local_ecs.until(unknown, "STOPPED"))["containers"][0]["exitCode"] == 2


@pytest.mark.parametrize(
    ("kind", "stop_code", "exit_code", "reason"),
    [
        ("out of memory", "EssentialContainerExited", 137, "OutOfMemoryError: Container killed due to memory usage"),
        ("spot", "SpotInterruption", 75, None),
        ("host lost", "InfrastructureHealth", None, None),
    ],
)
async def test_local_ecs_ends_a_running_task(
    local_ecs: LocalEcs,
    world: Payments,
    polling: str,
    kind: str,
    stop_code: str,
    exit_code: int | None,
    reason: str | None,
) -> None:
    """Killed, interrupted by Spot, or lost with its host: signal, codes and reasons are those of ECS."""
    arn = local_ecs.run(polling)
    await world.calls.until(1)
    local_ecs.strike(arn, kind)
    task = await local_ecs.until(arn, "STOPPED")
    worker = task["containers"][0]
    assert (task["stopCode"], worker.get("exitCode"), worker.get("reason")) == (stop_code, exit_code, reason)


async def test_local_ecs_stops_a_task(local_ecs: LocalEcs, world: Payments, polling: str) -> None:
    """SIGTERM: the worker drains and says so by its exit code, ECS who stopped it and why."""
    task = local_ecs.run(polling)
    await world.calls.until(1)
    said = local_ecs.ecs.stop_task(cluster=local_ecs.cluster, task=task, reason="because")
    assert said["task"]["desiredStatus"] == "STOPPED"
    stopped = await local_ecs.until(task, "STOPPED")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "because")
    assert stopped["containers"][0]["exitCode"] == 75


async def test_local_ecs_kills_a_task_that_does_not_go(local_ecs: LocalEcs, world: Payments) -> None:
    """SIGKILL once the stop timeout is over: exit code 137."""
    world.never_answering()
    definition = local_ecs.ecs.describe_task_definition(taskDefinition=registered(local_ecs, world))["taskDefinition"]
    definition["containerDefinitions"][0]["stopTimeout"] = 1
    again = {name: definition[name] for name in filled("poll-payments") if name in definition}
    arn = local_ecs.ecs.register_task_definition(**again)["taskDefinition"]["taskDefinitionArn"]
    task = local_ecs.run(arn)
    await world.calls.until(1)
    local_ecs.ecs.stop_task(cluster=local_ecs.cluster, task=task)
    stopped = await local_ecs.until(task, "STOPPED")
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("UserInitiated", 137)


@pytest.mark.parametrize("trouble", ["no image", "no secrets", "no network"])
async def test_local_ecs_task_that_never_starts_has_no_exit_code(
    local_ecs: LocalEcs, definition: str, trouble: str
) -> None:
    """RunTask answers as if all were well; later the task is stopped, its container never ran."""
    local_ecs.plant(trouble)
    task = await local_ecs.until(local_ecs.run(definition), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert all("exitCode" not in container for container in task["containers"])
    assert "startedAt" not in task


async def test_local_ecs_task_without_its_secret_never_starts(local_ecs: LocalEcs) -> None:
    """A secret that Secrets Manager has not is found when the task starts, not before."""
    definition = local_ecs.ecs.register_task_definition(**filled("poll-payments"))["taskDefinition"][
        "taskDefinitionArn"
    ]
    task = await local_ecs.until(local_ecs.run(definition), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert "ResourceInitializationError: unable to pull secrets" in task["stoppedReason"]


async def test_local_ecs_gives_a_field_of_a_secret_and_a_parameter(local_ecs: LocalEcs) -> None:
    """`:json-key::` names a field; an SSM parameter's ARN will do; the job sees their values."""
    secret = local_ecs.secret("BOTH", json.dumps({"slack": "http://field"}))
    ssm = local_ecs.client("ssm")
    ssm.put_parameter(Name=f"/{local_ecs.cluster}/url", Value="not a database", Type="SecureString")
    parameter = ssm.get_parameter(Name=f"/{local_ecs.cluster}/url")["Parameter"]["ARN"]
    ssm.close()
    definition = filled("poll-payments")
    definition["containerDefinitions"][0]["secrets"] = [
        {"name": "SLACK_BOT_TOKEN", "valueFrom": f"{secret}:slack::"},
        {"name": "DATABASE_URL", "valueFrom": parameter},
    ]
    arn = local_ecs.ecs.register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    task = local_ecs.run(arn)
    await local_ecs.until(task, "STOPPED")
    faults = (await local_ecs.line(task, "could not start"))["faults"]
    assert any("DATABASE_URL is not a URL" in fault for fault in faults), faults
    assert any("SLACK_BOT_TOKEN is set but SLACK_CHANNEL is not" in fault for fault in faults), faults


async def test_local_ecs_task_starts_slowly_and_is_stopped_before(local_ecs: LocalEcs, definition: str) -> None:
    """PENDING until it is released; stopped by then, its container never runs."""
    local_ecs.plant("slow start")
    arn = local_ecs.run(definition, "list")
    await local_ecs.until(arn, "PENDING")
    local_ecs.ecs.stop_task(cluster=local_ecs.cluster, task=arn)
    local_ecs.release(arn)
    task = await local_ecs.until(arn, "STOPPED")
    assert task["stopCode"] == "UserInitiated"
    assert "exitCode" not in task["containers"][0]


def answer(local_ecs: LocalEcs, definition: str, **asked: Any) -> dict[str, Any]:
    """Call RunTask."""
    about = {"launchType": "FARGATE", "networkConfiguration": NETWORK, "overrides": command("list"), **asked}
    known: dict[str, Any] = local_ecs.ecs.run_task(
        cluster=local_ecs.cluster, taskDefinition=definition, **{key: each for key, each in about.items() if each}
    )
    return known


def command(*words: str) -> dict[str, Any]:
    """Give overrides with this command."""
    return {"containerOverrides": [{"name": "worker", "command": list(words)}]}


def test_local_ecs_token_gives_the_same_task_or_a_conflict(local_ecs: LocalEcs, definition: str) -> None:
    """The same token with the same parameters starts nothing; with others it is a conflict that names the task."""
    [first] = answer(local_ecs, definition, clientToken="attempt-1")["tasks"]
    [again] = answer(local_ecs, definition, clientToken="attempt-1")["tasks"]
    assert again["taskArn"] == first["taskArn"]
    with pytest.raises(local_ecs.ecs.exceptions.ConflictException) as raised:
        answer(local_ecs, definition, clientToken="attempt-1", startedBy="else")
    assert raised.value.response["resourceIds"] == [first["taskArn"]]
    [other] = answer(local_ecs, definition, clientToken="attempt-2")["tasks"]
    assert other["taskArn"] != first["taskArn"]


def test_local_ecs_failures_come_in_a_200(local_ecs: LocalEcs, definition: str) -> None:
    """Nothing is started; but for a ghost, which its token finds again."""
    for trouble, reason in (("failures", "RESOURCE:ENI"), ("capacity", "Capacity is unavailable")):
        local_ecs.plant(trouble)
        said = answer(local_ecs, definition, clientToken="token")
        assert (said["tasks"], reason in said["failures"][0]["reason"]) == ([], True)
    assert local_ecs.tasks() == []
    local_ecs.plant("ghost")
    assert answer(local_ecs, definition, clientToken="token")["tasks"] == []
    [ghost] = local_ecs.tasks()
    assert answer(local_ecs, definition, clientToken="token")["tasks"][0]["taskArn"] == ghost["taskArn"]


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("throttled", "ThrottlingException"),
        ("throttled in disguise", "InvalidParameterException"),
        ("server error", "ServerException"),
    ],
)
def test_local_ecs_refuses_once(local_ecs: LocalEcs, definition: str, trouble: str, code: str) -> None:
    """A planted refusal is the next answer, and no more."""
    local_ecs.plant(trouble)
    with pytest.raises(ClientError) as raised:
        answer(local_ecs, definition)
    assert raised.value.response["Error"]["Code"] == code
    assert len(answer(local_ecs, definition)["tasks"]) == 1


def test_local_ecs_describes_what_it_has_not_as_missing(local_ecs: LocalEcs, definition: str) -> None:
    """A task that is forgotten, or never was, is a failure in a 200; so is one of another cluster."""
    [task] = answer(local_ecs, definition)["tasks"]
    local_ecs.forget(task["taskArn"])
    said = local_ecs.ecs.describe_tasks(cluster=local_ecs.cluster, tasks=[task["taskArn"]])
    assert (said["tasks"], said["failures"]) == ([], [{"arn": task["taskArn"], "reason": "MISSING"}])


OVER = [
    ("must be between 1 and 10", {"count": 11}),
    ("at most 8192", {"overrides": command("x" * 8_150)}),
    ("range of 33-126", {"clientToken": "with space"}),
    ("range of 33-126", {"clientToken": "x" * 65}),
    ("startedBy must be", {"startedBy": "poll payments"}),
    ("No Fargate configuration", {"overrides": {"memory": "9999"}}),
    ("No Fargate configuration", {"overrides": {"cpu": "300"}}),
    ("is not a container", {"overrides": {"containerOverrides": [{"name": "main", "command": ["list"]}]}}),
    ("Network Configuration must be provided", {"networkConfiguration": None}),
    ("needs security groups", {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}}),
    ("but not both", {"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]}),
    ("was not found", {"launchType": None, "capacityProviderStrategy": [{"capacityProvider": "big"}]}),
]


@pytest.mark.parametrize(("said", "asked"), OVER, ids=[f"{number}-{said}" for number, (said, _) in enumerate(OVER)])
def test_local_ecs_refuses_what_ecs_refuses(
    local_ecs: LocalEcs, definition: str, said: str, asked: dict[str, Any]
) -> None:
    """Counts, lengths, forms, sizes, names and networks; nothing is started."""
    with pytest.raises(ClientError, match=said):
        answer(local_ecs, definition, **asked)
    assert local_ecs.tasks() == []


def test_local_ecs_takes_overrides_of_just_the_right_length(local_ecs: LocalEcs, definition: str) -> None:
    """8,192 characters, JSON's own included, are not too many."""
    empty = len(json.dumps(command("")))
    assert answer(local_ecs, definition, overrides=command("x" * (8_192 - empty)))["tasks"]
    with pytest.raises(ClientError, match="at most 8192"):
        answer(local_ecs, definition, overrides=command("x" * (8_193 - empty)))


@pytest.mark.parametrize(
    ("said", "change"),
    [
        ("No Fargate configuration", {"memory": "9999"}),
        ("network mode", {"networkMode": "bridge"}),
    ],
)
def test_local_ecs_registers_nothing_that_fargate_cannot_run(
    local_ecs: LocalEcs, said: str, change: dict[str, Any]
) -> None:
    """Sizes and network modes are checked when a definition is registered."""
    with pytest.raises(ClientError, match=said):
        local_ecs.ecs.register_task_definition(**filled("poll-payments") | change)
