"""One task of the local ECS: from PROVISIONING to STOPPED, with its container's command as a real process in between.

States, stop codes and what DescribeTasks says are those of the ECS Developer Guide, "Task lifecycle" and "Task state change events".
A container that never ran has no exit code; sidecars are said to have ended with 0, and are not run.
"""

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ecs_limits import FARGATE
from ecs_secrets import CannotResolve
from ecs_trouble import EXITED, STARTS, Strike

from worker.local.leash import die_with_parent

ROOT = Path(__file__).parent.parent
WORKER = "worker"
_UNASKED_STOP_TIMEOUT_S = 30

Changed = Callable[[dict[str, Any]], None]
"""Told of each state."""


class Task:
    """A task; `described` is what DescribeTasks gives: whoever reads it sees one state, never half of the next."""

    def __init__(self, arn: str, definition: Any, asked: Mapping[str, Any], output: Path, changed: Changed) -> None:
        self.id = arn.rpartition("/")[2]
        self.output = output / self.id
        self._changed, self._lock = changed, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._strike: Strike | None = None
        self.released = threading.Event()
        """Set once the task may go on from PENDING."""
        self._containers = definition.container_definitions
        self._state = _described(arn, definition, asked)
        self.described = deepcopy(self._state)
        overrides = self._state["overrides"]["containerOverrides"]
        self.override: Mapping[str, Any] = next(each for each in overrides if each["name"] == WORKER)
        self.definition = next(each for each in self._containers if each["name"] == WORKER)

    def start(self, environment: Callable[[], dict[str, str]], trouble: str | None) -> None:
        """Go through all states in a thread of its own; with a trouble, never to RUNNING."""
        threading.Thread(target=self._live, args=(environment, trouble), daemon=True).start()

    def end(self, strike: Strike) -> None:
        """Send it a signal, and SIGKILL once its stop timeout is over; only the first who ends it says why."""
        with self._lock:
            if self._strike is None:
                self._strike = strike
                self._state |= {"desiredStatus": "STOPPED", "stoppingAt": _now(), "stopCode": strike.stop_code}
                self._state["stoppedReason"] = strike.stopped_reason
                self.described = deepcopy(self._state)
            if self._process:
                self._process.send_signal(strike.signal)
                timeout = self.definition.get("stopTimeout", _UNASKED_STOP_TIMEOUT_S)
                killer = threading.Timer(timeout, self._process.kill)
                killer.daemon = True
                killer.start()

    def _live(self, environment: Callable[[], dict[str, str]], trouble: str | None) -> None:
        self._become("PROVISIONING")
        self._become("PENDING")
        self.released.wait()
        try:
            variables = environment()
        except CannotResolve as error:
            trouble = STARTS["no secrets"].format(error)
        if trouble:
            return self._stopped("TaskFailedToStart", trouble, {})
        with self.output.open("wb") as output:
            with self._lock:
                struck = self._strike
                self._process = None if struck else self._run(variables, output)
            code = self._watch() if self._process else None
        worker: dict[str, Any] = {} if code is None else {"exitCode": code}
        if self._strike is None:
            return self._stopped(*EXITED, worker)
        if not self._strike.has_exit_code:
            worker = {}
        if self._strike.container_reason:
            worker["reason"] = self._strike.container_reason
        return self._stopped(self._strike.stop_code, self._strike.stopped_reason, worker)

    def _run(self, variables: dict[str, str], output: Any) -> "subprocess.Popen[bytes]":
        command = self.override.get("command") or self.definition.get("command", [])
        return subprocess.Popen(
            [sys.executable, "-m", "worker", *command],
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_parent,
        )

    def _watch(self) -> int:
        assert self._process
        with self._lock:
            self._state["startedAt"] = _now()
            for container in self._state["containers"]:
                container["lastStatus"] = "RUNNING"
        self._become("RUNNING")
        code = self._process.wait()
        with self._lock:
            self._state["executionStoppedAt"] = _now()
        return code if code >= 0 else 128 - code

    def _stopped(self, stop_code: str, reason: str, worker: dict[str, Any]) -> None:
        with self._lock:
            self._state |= {"stopCode": stop_code, "stoppedReason": reason, "desiredStatus": "STOPPED"}
            self._state.setdefault("stoppingAt", _now())
        self._become("DEPROVISIONING")
        with self._lock:
            for container in self._state["containers"]:
                container["lastStatus"] = "STOPPED"
                if container["name"] == WORKER:
                    container |= worker
                elif "startedAt" in self._state:
                    container["exitCode"] = 0
            self._state["stoppedAt"] = _now()
        self._become("STOPPED")

    def _become(self, status: str) -> None:
        with self._lock:
            self._state |= {"lastStatus": status, "version": self._state["version"] + 1}
            self.described = told = deepcopy(self._state)
        self._changed(told)


def _described(arn: str, definition: Any, asked: Mapping[str, Any]) -> dict[str, Any]:
    overrides = {"inferenceAcceleratorOverrides": []} | asked.get("overrides", {})
    given = {each["name"]: each for each in overrides.get("containerOverrides", ())}
    named = [given.get(each["name"], {"name": each["name"]}) for each in definition.container_definitions]
    overrides["containerOverrides"] = named
    strategy = asked.get("capacityProviderStrategy")
    provider = strategy[0]["capacityProvider"] if strategy else asked.get("launchType", "EC2")
    return {
        "taskArn": arn,
        "clusterArn": arn.rpartition("/")[0].replace(":task/", ":cluster/"),
        "taskDefinitionArn": definition.arn,
        "group": asked.get("group") or f"family:{definition.family}",
        "launchType": "FARGATE" if provider in FARGATE else "EC2",
        "overrides": overrides,
        "cpu": overrides.get("cpu", definition.cpu),
        "memory": overrides.get("memory", definition.memory),
        "containers": [_container(each, arn, overrides) for each in definition.container_definitions],
        "createdAt": _now(),
        "desiredStatus": "RUNNING",
        "lastStatus": "PROVISIONING",
        "version": 0,
        "tags": asked.get("tags", []),
        **({"startedBy": asked["startedBy"]} if "startedBy" in asked else {}),
        **({"capacityProviderName": provider} if strategy else {}),
    }


def _container(definition: Mapping[str, Any], arn: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
    name = definition["name"]
    override = next(one for one in overrides["containerOverrides"] if one["name"] == name)
    sizes = {key: override.get(key, definition.get(key)) for key in ("cpu", "memory")}
    return {
        "name": name,
        "containerArn": f"{arn.replace(':task/', ':container/')}/{uuid.uuid4()}",
        "taskArn": arn,
        "image": definition["image"],
        "lastStatus": "PENDING",
        **{key: str(size) for key, size in sizes.items() if size is not None},
    }


def _now() -> datetime:
    return datetime.now(UTC)
