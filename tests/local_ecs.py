"""An ECS that runs tasks on this machine, for tests: RunTask starts `python -m worker …` as its task definition says.

The AWS SDK talks to it over HTTP, as to the rest of moto; `plant` and `strike` make it fail as real ECS does (tests/ecs_trouble.py).
"""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aws import Aws
from definitions import FILES, ROOT, values

from worker.aws.definition_faults import environment_of, worker_of
from worker.aws.task_definition import render

NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "DISABLED"}}
_PATIENCE_S = 30.0


class LocalEcs(Aws):
    """The local AWS with an ECS that runs tasks, as one test sees it: in a cluster of its own."""

    def __init__(self, child: "subprocess.Popen[str]", output: Path) -> None:
        super().__init__(child)
        self._output = output
        self.ecs, self.events, self.sqs = (self.client(name) for name in ("ecs", "events", "sqs"))
        self._secrets = self.client("secretsmanager")
        self.cluster = ""

    def fresh(self) -> None:
        """Make a new cluster the one that is worked in."""
        self.cluster = f"batch-{secrets.token_hex(4)}"
        self.ecs.create_cluster(clusterName=self.cluster, capacityProviders=["FARGATE", "FARGATE_SPOT"])

    def register(self, job: str, secret: dict[str, str], plain: dict[str, str]) -> str:
        """Register a job's own task definition, with secrets and plain variables that it has or that are added; give its ARN."""
        text = FILES[job].read_text(encoding="utf-8")
        given = values(text)
        given |= {f"{name}_ARN": self.secret(name, value) for name, value in secret.items() if f"{name}_ARN" in given}
        definition = render(text, given)
        worker = dict(worker_of(definition))
        worker["secrets"] = [each for each in worker["secrets"] if each["name"] in secret]
        variables = environment_of(worker) | plain
        worker["environment"] = [{"name": name, "value": value} for name, value in variables.items()]
        others = [each for each in definition["containerDefinitions"] if each["name"] != worker["name"]]
        registered = self.ecs.register_task_definition(**definition | {"containerDefinitions": [worker, *others]})
        arn: str = registered["taskDefinition"]["taskDefinitionArn"]
        return arn

    def secret(self, name: str, value: str) -> str:
        """Keep a secret in Secrets Manager; give its ARN."""
        arn: str = self._secrets.create_secret(Name=f"{name}-{secrets.token_hex(4)}", SecretString=value)["ARN"]
        return arn

    def run(self, definition: str, *command: str, **asked: Any) -> str:
        """Run a task, with another command or the definition's own; give its ARN."""
        override = {"containerOverrides": [{"name": "worker", "command": list(command)}]} if command else {}
        about = {"launchType": "FARGATE", "networkConfiguration": NETWORK, "overrides": override, **asked}
        answer = self.ecs.run_task(cluster=self.cluster, taskDefinition=definition, **about)
        assert not answer["failures"], answer["failures"]
        arn: str = answer["tasks"][0]["taskArn"]
        return arn

    def task(self, arn: str) -> dict[str, Any]:
        """Describe a task."""
        [task] = self.ecs.describe_tasks(cluster=self.cluster, tasks=[arn])["tasks"]
        found: dict[str, Any] = task
        return found

    def tasks(self) -> list[dict[str, Any]]:
        """Describe all tasks of the cluster, in the order in which they were made."""
        arns = {  # one that stops between the two answers is in both
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in self.ecs.list_tasks(cluster=self.cluster, desiredStatus=status)["taskArns"]
        }
        described = self.ecs.describe_tasks(cluster=self.cluster, tasks=list(arns))["tasks"] if arns else []
        return sorted(described, key=lambda task: task["createdAt"])

    async def until(self, arn: str, status: str) -> dict[str, Any]:
        """Wait until a task has a status, and describe it."""
        async with asyncio.timeout(_PATIENCE_S):
            while (task := await asyncio.to_thread(self.task, arn))["lastStatus"] != status:
                assert task["lastStatus"] != "STOPPED", (task, self.output(arn))
                await asyncio.sleep(0.05)
        return task

    def output(self, arn: str) -> str:
        """Give what a task's container has written."""
        file = self._output / arn.rpartition("/")[2]
        return file.read_text() if file.exists() else ""

    def lines(self, arn: str) -> list[dict[str, Any]]:
        """Give a task's log lines."""
        return [json.loads(line) for line in self.output(arn).splitlines()]

    def end(self, arn: str) -> dict[str, Any]:
        """Give the line that says how a task's attempt ended."""
        return next(line for line in reversed(self.lines(arn)) if "verdict" in line)

    async def line(self, arn: str, wanted: str) -> dict[str, Any]:
        """Wait until a task has logged such an event."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                for line in self.output(arn).splitlines(keepends=True):
                    if line.endswith("\n") and wanted in (read := json.loads(line))["event"]:
                        return dict(read)
                await asyncio.sleep(0.05)

    def plant(self, trouble: str, call: str = "RunTask") -> None:
        """Have the next such call fail like this."""
        self._ask("plant", trouble, call)

    def strike(self, arn: str, kind: str) -> None:
        """Have a running task end like this."""
        self._ask("strike", arn, kind)

    def release(self, arn: str) -> None:
        """Let a task go on that was planted to start slowly."""
        self._ask("release", arn)

    def forget(self, arn: str) -> None:
        """Know a task no more."""
        self._ask("forget", arn)

    def troubles(self) -> list[str]:
        """Take away and give what was planted and did not happen."""
        left: list[str] = self._ask("troubles")
        return left

    def state_machines(self) -> None:
        """Have moto's Step Functions execute state machines, and run their tasks here."""
        self._ask("state_machines")

    def listen(self, pattern: dict[str, Any], **target: Any) -> str:
        """Have events that fit a pattern of EventBridge delivered to a fresh queue; give its URL."""
        name = f"events-{secrets.token_hex(4)}"
        url: str = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        self.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn, **target}])
        return url

    def received(self, url: str) -> list[dict[str, Any]]:
        """Take the events that have arrived in a queue."""
        found = []
        while messages := self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    def _ask(self, *call: str) -> Any:
        self._to.write(json.dumps(call) + "\n")
        self._to.flush()
        return json.loads(self._from.readline())


@contextmanager
def local_ecs(output: Path) -> Iterator[LocalEcs]:
    """Start it; with it end all its tasks."""
    with (
        (output / "ecs").open("w") as errors,
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("ecs_child.py"), output],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as child,
    ):
        ecs = LocalEcs(child, output)
        try:
            yield ecs
        finally:
            for client in (ecs.ecs, ecs.events, ecs.sqs, ecs.s3):
                client.close()
            child.kill()
