"""Step Functions on the local ECS: `ecs:runTask.sync` runs a task, waits for its end, and fails as AWS says."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from local_ecs import NETWORK, LocalEcs

_ROLE = "arn:aws:iam::123456789012:role/states"


@pytest.fixture
def states(local_ecs: LocalEcs) -> Iterator[Any]:
    """Give a client of a Step Functions that executes."""
    local_ecs.state_machines()
    client = local_ecs.client("stepfunctions")
    yield client
    client.close()


async def executed(states: Any, local_ecs: LocalEcs, *command: str, **catch: Any) -> dict[str, Any]:
    """Execute a machine of one task with this command; give the execution as it ended."""
    override = {"Name": "worker", "Command.$": "$.command"}
    run = {
        "Type": "Task",
        "Resource": "arn:aws:states:::ecs:runTask.sync",
        "Parameters": {
            "Cluster": local_ecs.cluster,
            "TaskDefinition": local_ecs.register("poll-payments", {}, {}),
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {
                    "Subnets": NETWORK["awsvpcConfiguration"]["subnets"],
                    "SecurityGroups": NETWORK["awsvpcConfiguration"]["securityGroups"],
                }
            },
            "Overrides": {"ContainerOverrides": [override]},
        },
        "End": True,
    }
    machine = states.create_state_machine(
        name=local_ecs.cluster, roleArn=_ROLE, definition=json.dumps({"StartAt": "Run", "States": {"Run": run | catch}})
    )["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine, input=json.dumps({"command": command}))["executionArn"]
    async with asyncio.timeout(20):
        while True:
            execution: dict[str, Any] = states.describe_execution(executionArn=arn)
            if execution["status"] != "RUNNING":
                return execution
            await asyncio.sleep(0.05)


async def test_step_functions_wait_for_a_task(states: Any, local_ecs: LocalEcs) -> None:
    """The task's end is the state's output."""
    execution = await executed(states, local_ecs, "list")
    assert execution["status"] == "SUCCEEDED", execution
    task = json.loads(execution["output"])
    assert (task["LastStatus"], task["StartedBy"]) == ("STOPPED", "AWS Step Functions")
    assert task["Containers"][0]["ExitCode"] == 0
    assert "poll-payments" in local_ecs.output(task["TaskArn"])


async def test_step_functions_fail_with_their_task(states: Any, local_ecs: LocalEcs) -> None:
    """Another exit code than 0 is States.TaskFailed, with the task as Cause."""
    execution = await executed(states, local_ecs, "no-such-job")
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed"), execution
    assert json.loads(execution["cause"])["Containers"][0]["ExitCode"] == 2


async def test_step_functions_fail_where_nothing_could_be_placed(states: Any, local_ecs: LocalEcs) -> None:
    """`failures[]` in a 200 is AmazonECS.Unknown; a retry of the state starts the task."""
    local_ecs.plant("capacity")
    execution = await executed(states, local_ecs, "list")
    assert (execution["status"], execution["error"]) == ("FAILED", "AmazonECS.Unknown"), execution


async def test_step_functions_see_a_task_that_never_started(states: Any, local_ecs: LocalEcs) -> None:
    """It is States.TaskFailed too; Cause has the stop code."""
    local_ecs.plant("no image")
    execution = await executed(states, local_ecs, "list")
    assert (execution["status"], execution["error"]) == ("FAILED", "States.TaskFailed"), execution
    assert json.loads(execution["cause"])["StopCode"] == "TaskFailedToStart"
