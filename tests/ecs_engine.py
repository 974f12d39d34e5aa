"""The local ECS: tasks by their ARNs, RunTask and its kin, client tokens, and the troubles that a test has planted.

Client tokens: as the ECS API reference says under "Ensuring idempotency"; that they end an hour after their task, no test lives to see.
"""

import json
import signal
import threading
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ecs_events import emit
from ecs_limits import check_run
from ecs_metadata import Metadata
from ecs_secrets import environment
from ecs_task import Task
from ecs_trouble import FAILURES, REFUSALS, SLOW, STARTS, STRIKES, Strike
from moto.ecs.exceptions import ECSException, InvalidParameterException
from moto.ecs.models import ecs_backends

Asked = Mapping[str, Any]
Answer = dict[str, Any]


class Conflict(ECSException):
    """The client token belongs to another request."""

    def __init__(self, arns: list[str]) -> None:
        super().__init__("ConflictException", "The provided clientToken is already in use with a different request.")
        self.resourceIds = arns


class LocalEngine:
    """Answer calls with what their answers hold; every call may raise moto's ECSException."""

    def __init__(self, output: Path) -> None:
        self.url = ""
        self._output = output
        self._tasks: dict[str, Task] = {}
        self._tokens: dict[tuple[str, str], tuple[str, list[Task]]] = {}
        self._troubles: list[tuple[str, str]] = []
        self._lock = threading.RLock()
        self._metadata = Metadata(self._by_id)

    def plant(self, trouble: str, call: str = "RunTask") -> None:
        """Have the next call fail like this; planted troubles wait in line."""
        if trouble not in {**FAILURES, **REFUSALS, **STARTS, SLOW: ""}:
            raise ValueError(f"no trouble is called {trouble!r}")
        with self._lock:
            self._troubles.append((call, trouble))

    def strike(self, arn: str, kind: str) -> None:
        """Have a running task end like this."""
        self._tasks[arn].end(STRIKES[kind])

    def release(self, arn: str) -> None:
        """Let a slow task start."""
        self._tasks[arn].released.set()

    def forget(self, arn: str) -> None:
        """Know a task no more, as ECS does some time after its end."""
        del self._tasks[arn]

    def troubles(self) -> list[str]:
        """Take away and give what was planted and has not happened."""
        with self._lock:
            left, self._troubles = self._troubles, []
        return [trouble for _, trouble in left]

    def run_task(self, asked: Asked, account: str, region: str) -> Answer:
        """Start tasks, or say why not in `failures`."""
        backend = ecs_backends[account][region]
        cluster = backend._get_cluster(asked.get("cluster", "default"))
        if not {"launchType", "capacityProviderStrategy"} & asked.keys() and cluster.default_capacity_provider_strategy:
            asked = {**asked, "capacityProviderStrategy": cluster.default_capacity_provider_strategy}
        definition = backend.describe_task_definition(asked["taskDefinition"])
        with self._lock:
            trouble = self._refuse("RunTask")
            check_run(asked, definition, cluster.capacity_providers or [])
            known = self._known(cluster.name, asked)
            if known:
                return {"tasks": [task.described for task in known], "failures": []}
            if trouble in FAILURES and trouble != "ghost":
                return _failed(trouble)
            arn = cluster.arn.replace(":cluster/", ":task/")
            tasks = [
                Task(f"{arn}/{uuid.uuid4().hex}", definition, asked, self._output, emit)
                for _ in range(asked.get("count", 1))
            ]
            self._tasks |= {task.described["taskArn"]: task for task in tasks}
            if "clientToken" in asked:
                self._tokens[cluster.name, asked["clientToken"]] = (_fingerprint(asked), tasks)
        answer = {"tasks": [dict(task.described) for task in tasks], "failures": []}
        for task in tasks:
            if trouble != SLOW:
                task.released.set()
            task.start(partial(self._environment, task), STARTS.get(trouble or ""))
        return _failed(trouble) if trouble == "ghost" else answer

    def stop_task(self, asked: Asked, account: str, region: str) -> Answer:
        """Send SIGTERM, and SIGKILL when the container's stopTimeout is over; a task that has stopped stays as it is."""
        self._refuse("StopTask")
        ecs_backends[account][region]._get_cluster(asked.get("cluster", "default"))
        task = self._by_id(asked["task"].rpartition("/")[2])
        if task is None:
            raise InvalidParameterException("The referenced task was not found.")
        strike = Strike(signal.SIGTERM, "UserInitiated", asked.get("reason") or "Task stopped by user")
        if task["lastStatus"] != "STOPPED":
            self._tasks[task["taskArn"]].end(strike)
        return {"task": self._tasks[task["taskArn"]].described}

    def describe_tasks(self, asked: Asked, account: str, region: str) -> Answer:
        """Give tasks of the cluster; those that it has not are MISSING."""
        self._refuse("DescribeTasks")
        cluster = ecs_backends[account][region]._get_cluster(asked.get("cluster", "default"))
        wanted = asked.get("tasks", [])
        if not 1 <= len(wanted) <= 100:
            raise InvalidParameterException("Tasks must be 1 to 100.")
        prefix = cluster.arn.replace(":cluster/", ":task/")
        arns = [f"{prefix}/{each.rpartition('/')[2]}" for each in wanted]
        return {
            "tasks": [self._tasks[arn].described for arn in arns if arn in self._tasks],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in self._tasks],
        }

    def list_tasks(self, asked: Asked, account: str, region: str) -> Answer:
        """Give the ARNs of tasks by cluster, family, who started them, and desired status."""
        self._refuse("ListTasks")
        cluster = ecs_backends[account][region]._get_cluster(asked.get("cluster", "default"))
        wanted = {"clusterArn": cluster.arn, "desiredStatus": asked.get("desiredStatus", "RUNNING")}
        wanted |= {"startedBy": asked["startedBy"]} if "startedBy" in asked else {}
        family = f"task-definition/{asked['family']}:" if "family" in asked else ""
        with self._lock:
            tasks = [task.described for task in self._tasks.values()]
        found = [task for task in tasks if all(task.get(key) == value for key, value in wanted.items())]
        return {"taskArns": [task["taskArn"] for task in found if family in task["taskDefinitionArn"]]}

    def _refuse(self, call: str) -> str | None:
        """Take the trouble that was planted first for this call. Raises what is an error."""
        with self._lock:
            planted = next((each for each in self._troubles if each[0] == call), None)
            if planted is None:
                return None
            self._troubles.remove(planted)
        if planted[1] in REFUSALS:
            raise ECSException(*REFUSALS[planted[1]])
        return planted[1]

    def _known(self, cluster: str, asked: Asked) -> list[Task] | None:
        """Find the tasks of a client token. Raises Conflict where it came with other parameters."""
        if (cluster, asked.get("clientToken", "")) not in self._tokens:
            return None
        fingerprint, tasks = self._tokens[cluster, asked["clientToken"]]
        if fingerprint != _fingerprint(asked):
            raise Conflict([task.described["taskArn"] for task in tasks])
        return tasks

    def _environment(self, task: Task) -> dict[str, str]:
        region, account = task.described["taskArn"].split(":")[3:5]
        given = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_ENDPOINT_URL": self.url}
        own = environment(task.definition, task.override, account, region)
        return {"PATH": "/usr/local/bin:/usr/bin:/bin"} | given | self._metadata.environment(task.id) | own

    def _by_id(self, task_id: str) -> Answer | None:
        with self._lock:
            return next((task.described for arn, task in self._tasks.items() if arn.endswith(f"/{task_id}")), None)


def _failed(trouble: str | None) -> Answer:
    return {"tasks": [], "failures": [{"reason": FAILURES[trouble or ""]}]}


def _fingerprint(asked: Asked) -> str:
    return json.dumps(asked, sort_keys=True, default=str)
