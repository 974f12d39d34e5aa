"""All that lies between a schedule and a summary, on this machine: events, functions, tasks, Slack."""

import asyncio
import os
import secrets
from collections.abc import Mapping
from typing import Any

from firing import stopped_tasks
from function_server import Functions
from local_ecs import NETWORK, LocalEcs

_PATIENCE_S = 30.0


class WholePath:
    """The functions, and the cluster, the run store and the Slack that they work with."""

    def __init__(self, ecs: LocalEcs, functions: Functions, database_url: str, slack_url: str) -> None:
        self.ecs, self._functions = ecs, functions
        [cluster] = ecs.ecs.describe_clusters(clusters=[ecs.cluster])["clusters"]
        self._stopped, self._told = ecs.listen(stopped_tasks(cluster["clusterArn"])), set[str]()
        self._dead = ecs.sqs.create_queue(QueueName=f"dead-{secrets.token_hex(4)}")["QueueUrl"]
        self.bucket = ecs.bucket()
        self.per_task: dict[str, int] = {}
        self.own = {"DATABASE_URL": database_url, "SLACK_WEBHOOK_URL": f"{slack_url}/hook"}
        self.environment = {
            **ecs.environment,
            **self.own,
            "PATH": os.environ["PATH"],
            "LAUNCH_CLUSTER": ecs.cluster,
            "LAUNCH_SUBNETS": ",".join(NETWORK["awsvpcConfiguration"]["subnets"]),
            "LAUNCH_SECURITY_GROUPS": ",".join(NETWORK["awsvpcConfiguration"]["securityGroups"]),
            "LAUNCH_MAX_TASKS": "10",
            "LAUNCH_DEAD_LETTERS": self._dead,
            "LAUNCH_BUCKET": self.bucket,
            "ALERTS_TOPIC": self._topic(),
        }

    def register(self, job: str, environment: Mapping[str, str], *secret: str) -> str:
        """Register a job's definition, with these secrets of its environment and with the run store and Slack of the path."""
        known = {name: environment[name] for name in secret} | self.own
        plain = {name: value for name, value in environment.items() if name not in known}
        return self.ecs.register(job, known, {"LEASE": "1"} | plain)

    async def launch(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke the launcher."""
        return await self._invoke("launcher", event)

    async def report(self) -> None:
        """Invoke the reporter with every task that has stopped since, twice: EventBridge delivers at least once."""
        events = self.ecs.received(self._stopped)
        self._told |= {event["detail"]["taskArn"] for event in events}
        for event in (*events, *events):
            await self._invoke("reporter", event)

    async def _invoke(self, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        return await self._functions.invoke(function, event, self.environment, self.per_task)

    async def settled(self) -> list[dict[str, Any]]:
        """Wait until every task has stopped and its end was told, those that the reporter starts included; give the tasks."""
        async with asyncio.timeout(_PATIENCE_S):
            while {task["taskArn"] for task in self.ecs.tasks()} - self._told:
                await self.report()
                await asyncio.sleep(0.1)
        return self.ecs.tasks()

    def buried(self) -> list[dict[str, Any]]:
        """Take what the launcher has put aside."""
        return self.ecs.received(self._dead)

    def _topic(self) -> str:
        sns = self.ecs.client("sns")
        arn: str = sns.create_topic(Name=self.ecs.cluster)["TopicArn"]
        sns.close()
        return arn
