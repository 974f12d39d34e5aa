"""What a launch changes of its task definition: command, environment, size; and how long that may be."""

import json
from typing import Any

from worker.aws.definition_faults import WORKER
from worker.request import Request
from worker.scope import variables

LONGEST = 8_192
"""Characters of `overrides` that RunTask takes, JSON punctuation included."""


def overrides(request: Request, launch_id: str) -> dict[str, Any]:
    """Give the overrides of a launch; CPU and memory are strings at the task and integers at the container."""
    container: dict[str, Any] = {"name": WORKER, "environment": _pairs(_environment(request, launch_id))}
    if (command := _command(request)) != [request.job.name]:
        container["command"] = command
    size = request.job.sized(request.scope)
    if size is None or size.cpu is None:
        return {"containerOverrides": [container]}
    container["memory"] = size.worker_memory  # its CPU is the task's: no definition bounds it
    return {"cpu": str(size.cpu), "memory": str(size.memory), "containerOverrides": [container]}


def length(told: dict[str, Any]) -> int:
    """Give the characters of overrides as they are sent."""
    return len(json.dumps(told))


def _command(request: Request) -> list[str]:
    """Say what is no variable; the rest of the command line is in the environment."""
    bounds = {"--max-records": request.max_records, "--max-affected": request.max_affected}
    said = [word for flag, bound in bounds.items() if bound for word in (flag, str(bound))]
    return [request.job.name, *(["--dry-run"] if request.dry_run else []), *said]


def _environment(request: Request, launch_id: str) -> dict[str, str | None]:
    scope = {"SCOPE_REF": request.scope_ref} if request.scope_ref else variables(request.scope)
    return {
        "RUN_KEY": request.run_key,
        "CORRELATION_ID": launch_id,
        "TRIGGER": request.trigger,
        "SCHEDULED_TIME": request.scheduled_time,
        "STARTED_BY": request.started_by,
        "SHARD": request.shard,
        **scope,
    }


def _pairs(variables: dict[str, str | None]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items() if value is not None]
