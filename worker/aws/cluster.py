"""The cluster that tasks are started in, and how ECS is asked for one."""

from dataclasses import dataclass
from typing import Any

from worker.aws.overrides import overrides
from worker.environment import Settings
from worker.errors import Faults
from worker.request import Request

_NEEDED = {
    "LAUNCH_CLUSTER": "the ECS cluster that tasks are started in",
    "LAUNCH_SUBNETS": "the subnets of tasks, with commas between",
    "LAUNCH_SECURITY_GROUPS": "the security groups of tasks, with commas between",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where tasks are started, and what surrounds the launcher there."""

    name: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    most: int | None = None
    """Tasks that may live at once, of all jobs."""
    bucket: str | None = None
    """Keeps the scopes that are too large, or too secret, for overrides."""

    @classmethod
    def of(cls, found: Settings) -> "Cluster":
        """Read it from the environment. Raises Faults naming all that is missing."""
        values = (found.launch_cluster, found.launch_subnets, found.launch_security_groups)
        missing = [name for name, value in zip(_NEEDED, values, strict=True) if not value]
        if missing:
            raise Faults([f"{name} is not set: {_NEEDED[name]}" for name in missing])
        return cls(
            name=found.launch_cluster or "",
            subnets=found.launch_subnets,
            security_groups=found.launch_security_groups,
            most=found.launch_max_tasks,
            bucket=found.launch_bucket,
        )

    def arguments(self, request: Request, launch_id: str) -> dict[str, Any]:
        """Give what RunTask is asked for a launch: one id for all that ECS calls by different names."""
        network = {"subnets": list(self.subnets), "securityGroups": list(self.security_groups)}
        size = request.job.sized(request.scope)
        # What Spot took its capacity from goes on where that cannot happen again.
        strategy = None if size is None or (size.spot and request.trigger == "resume") else size.strategy
        capacity: dict[str, Any] = (
            {"capacityProviderStrategy": [{"capacityProvider": strategy, "weight": 1}]}
            if strategy
            else {"launchType": "FARGATE"}
        )
        return {
            "cluster": self.name,
            "taskDefinition": f"{request.job.name}:{request.revision}" if request.revision else request.job.name,
            "count": 1,
            "clientToken": launch_id,
            "startedBy": launch_id,
            "networkConfiguration": {"awsvpcConfiguration": {**network, "assignPublicIp": "DISABLED"}},
            "overrides": overrides(request, launch_id),
            "propagateTags": "TASK_DEFINITION",
            **capacity,
        }
