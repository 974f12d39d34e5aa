"""A pipeline of the stack on this machine: its own definition in a Step Functions that executes, its tasks in the local ECS, its notices in queues."""

import asyncio
import json
import re
import secrets
from typing import Any

from local_ecs import NETWORK, LocalEcs
from orders_room import Orders
from templates import Template

_ROLE = "arn:aws:iam::123456789012:role/states"
_PATIENCE_S = 60.0


class Pipeline:
    """The state machine, made with these parameters of the stack."""

    def __init__(self, ecs: LocalEcs, **parameters: str) -> None:
        self._ecs, self._states, self._sns = ecs, ecs.client("stepfunctions"), ecs.client("sns")
        ecs.state_machines()
        self._queues: dict[str, str] = {}
        network = NETWORK["awsvpcConfiguration"]
        given = {
            "batch-cluster": ecs.cluster,
            "PrivateSubnetIds": ",".join(network["subnets"]),
            "batch-worker-security-group": network["securityGroups"][0],
            "batch-alerts": self._topic("alerts"),
            "Completed": self._topic("completed"),
            "PauseSeconds": "0",
        }
        definition = definition_of(**given | parameters)
        made = self._states.create_state_machine(name=ecs.cluster, roleArn=_ROLE, definition=definition)
        self.machine: str = made["stateMachineArn"]

    def start(self, **asked: str) -> str:
        """Start it with such an input; give the execution."""
        name = secrets.token_hex(8)
        started = self._states.start_execution(stateMachineArn=self.machine, name=name, input=json.dumps(asked))
        arn: str = started["executionArn"]
        return arn

    async def ended(self, execution: str) -> dict[str, Any]:
        """Wait for the end of an execution, and give how it ended."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                said = await asyncio.to_thread(self._states.describe_execution, executionArn=execution)
                if said["status"] != "RUNNING":
                    return dict(said)
                await asyncio.sleep(0.05)

    async def run(self, **asked: str) -> dict[str, Any]:
        """Start it, and give how it ended."""
        return await self.ended(self.start(**asked))

    def notices(self, topic: str) -> list[dict[str, Any]]:
        """Take what was published to `alerts` or to `completed`."""
        return self._ecs.received(self._queues[topic])

    def exits(self) -> list[tuple[str, int | None]]:
        """Give the job and the exit code of each task, in the order of their making."""
        return [
            (task["group"].removeprefix("family:"), task["containers"][0].get("exitCode")) for task in self._ecs.tasks()
        ]

    async def task(self, *, after: set[str]) -> str:
        """Wait until a task runs that is none of these."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for task in await asyncio.to_thread(self._ecs.tasks):
                    if task["lastStatus"] == "RUNNING" and task["taskArn"] not in after:
                        return str(task["taskArn"])
                await asyncio.sleep(0.05)

    def close(self) -> None:
        """Close the clients."""
        self._states.close()
        self._sns.close()

    def _topic(self, name: str) -> str:
        full = f"{name}-{secrets.token_hex(4)}"
        topic: str = self._sns.create_topic(Name=full)["TopicArn"]
        self._queues[name] = self._ecs.sqs.create_queue(QueueName=full)["QueueUrl"]
        about = self._ecs.sqs.get_queue_attributes(QueueUrl=self._queues[name], AttributeNames=["QueueArn"])
        self._sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=about["Attributes"]["QueueArn"])
        return topic


def definition_of(**parameters: str) -> str:
    """Give the state machine's definition as CloudFormation hands it to Step Functions."""
    stack = Template("pipeline", **parameters)
    text = json.dumps(stack.properties("Machine", "Definition"))
    for name, value in stack.properties("Machine", "DefinitionSubstitutions").items():
        text = text.replace(f"${{{name}}}", value)
    assert not re.findall(r"\$\{\w+\}", text)
    return text


def register(ecs: LocalEcs, orders: Orders, *jobs: str, **more: str) -> None:
    """Register the definitions of the steps, over the orders' database and bucket; the date is the pipeline's to give."""
    plain = {"ORDERS_BUCKET": orders.bucket, "LEASE": "2"} | more
    for job in jobs:
        ecs.register(job, {"DATABASE_URL": orders.url}, plain)
