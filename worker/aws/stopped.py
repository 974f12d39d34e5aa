"""What an "ECS Task State Change" event says of a task that has stopped: who it was, and with which words it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.aws.definition_faults import WORKER


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A task that is over, as ECS tells of it."""

    arn: str
    cluster: str
    job: str
    definition: str = ""
    environment: Mapping[str, str]
    """What its start gave the worker beside the task definition: RUN_KEY, JOB_<FIELD>, …"""
    command: tuple[str, ...] = ()
    """What it ran instead of the task definition's command."""
    stop_code: str = ""
    reason: str = ""
    """The task's words and the worker container's."""
    exit_code: int | None = None
    """The worker's; None: ECS knows none."""
    ran_worker: bool = True
    """Whether it has a container of the worker's: another's task may be in the cluster, too."""
    started: bool = False
    """Whether the containers were running at some time."""
    cpu: int = 0
    memory: int = 0
    """The task's, in MiB."""
    worker_memory: int = 0
    """The worker container's own limit; 0: it has the task's."""
    started_by: str = ""
    """The launch that it belongs to, where the launcher started it."""
    sidecars: Mapping[str, int | None]
    """The other containers' exit codes."""
    at: str = ""
    """When it stopped, as the event says it."""

    @property
    def run_key(self) -> str | None:
        """Give the run key that it was started with; None where the worker made one up."""
        return self.environment.get("RUN_KEY") or None

    @property
    def aside(self) -> str:
        """Name the command that it ran instead of its job, such as `migrate`; empty for the job itself."""
        return self.command[0] if self.command and self.command[0] != self.job else ""

    @property
    def run_id(self) -> str | None:
        """Give the name of its run, or of the shard of it that it worked on; None where the worker made up a key."""
        return f"{self.job}:{self.run_key}{f'/{self.shard}' if self.shard else ''}" if self.run_key else None

    @property
    def shard(self) -> int | None:
        """Give the number of the shard that it worked on."""
        number = self.environment.get("SHARD", "").partition("/")[0]
        return int(number) if number.isdecimal() else None


def stopped(event: Mapping[str, Any]) -> Stopped:
    """Read the event. Raises ValueError for one that is no stopped task's: it belongs in the dead letters."""
    detail = event.get("detail")
    if not isinstance(detail, Mapping) or detail.get("lastStatus") != "STOPPED" or not detail.get("taskArn"):
        raise ValueError(f"no ECS Task State Change of a task that is STOPPED: {str(event)[:300]}")
    containers = {container.get("name"): container for container in detail.get("containers") or ()}
    worker = containers.get(WORKER, {})
    overrides = (detail.get("overrides") or {}).get("containerOverrides") or ()
    worker_overrides: Mapping[str, Any] = next((one for one in overrides if one.get("name") == WORKER), {})
    words = (str(detail.get("stoppedReason") or ""), str(worker.get("reason") or ""))
    return Stopped(
        arn=str(detail["taskArn"]),
        cluster=str(detail.get("clusterArn") or ""),
        job=_job(detail),
        definition=str(detail.get("taskDefinitionArn") or "").rpartition("/")[2],
        environment=_environment(worker_overrides),
        command=tuple(map(str, worker_overrides.get("command") or ())),
        stop_code=str(detail.get("stopCode") or ""),
        reason="; ".join(dict.fromkeys(word for word in words if word)),
        exit_code=worker.get("exitCode"),
        ran_worker=WORKER in containers or not containers,
        started=bool(detail.get("startedAt")),
        cpu=_whole(detail.get("cpu")),
        memory=_whole(detail.get("memory")),
        worker_memory=_whole(worker.get("memory")),
        started_by=str(detail.get("startedBy") or ""),
        sidecars={name: container.get("exitCode") for name, container in containers.items() if name != WORKER},
        at=str(detail.get("stoppedAt") or event.get("time") or ""),
    )


def _job(detail: Mapping[str, Any]) -> str:
    """Give the job: the family of the task's definition, which its group names unless somebody chose another."""
    group, family = str(detail.get("group") or ""), str(detail.get("taskDefinitionArn") or "").rpartition("/")[2]
    return group.removeprefix("family:") if group.startswith("family:") else family.partition(":")[0]


def _environment(overrides: Mapping[str, Any]) -> dict[str, str]:
    return {str(pair.get("name")): str(pair.get("value") or "") for pair in overrides.get("environment") or ()}


def _whole(text: Any) -> int:
    return int(text) if str(text or "").isdecimal() else 0
