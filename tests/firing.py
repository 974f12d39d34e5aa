"""Fire a job's schedule, as EventBridge Scheduler and as a CloudWatch rule, and listen as its rules do: all of it taken from the stacks.

Scheduler puts its context attributes into the Input (Scheduler User Guide, "Adding context attributes"); a rule makes its target's
input of the scheduled event by the InputTransformer (EventBridge User Guide, "Input transformation").
"""

import json
from typing import Any

from templates import Template


def by_scheduler(job: str, time: str, **parameters: str) -> dict[str, Any]:
    """Give the input of Scheduler's target, fired for a time, in a stack with these parameters."""
    text = _stack(job, parameters, "scheduler").properties("ByTheScheduler", "Target", "Input")
    return _filled(text, {"aws.scheduler.scheduled-time": time})


def by_rule(job: str, time: str, **parameters: str) -> dict[str, Any]:
    """Give the input of the scheduled rule's target, fired at a time, in a stack with these parameters."""
    transformer = _stack(job, parameters, "rule").properties("ByTheRule", "Targets", "0", "InputTransformer")
    event = {"$.time": time}
    return _filled(
        transformer["InputTemplate"], {name: event[path] for name, path in transformer["InputPathsMap"].items()}
    )


def stopped_tasks(cluster: str) -> dict[str, Any]:
    """Give the pattern of the rule that hands ends of tasks to the reporter."""
    pattern: dict[str, Any] = Template("shared", **{"Cluster.Arn": cluster}).properties("StoppedTasks", "EventPattern")
    return pattern


def new_objects(bucket: str, prefix: str) -> dict[str, Any]:
    """Give the pattern of the rule that hands new objects to the launcher."""
    stack = Template("job", StartBucket=bucket, StartPrefix=prefix)
    pattern: dict[str, Any] = stack.properties("ByObjects", "EventPattern")
    return pattern


def _stack(job: str, parameters: dict[str, str], scheduled_by: str) -> Template:
    return Template("job", **{"Job": job, "ScheduledBy": scheduled_by, "StartBy": "launcher", **parameters})


def _filled(template: str, attributes: dict[str, str]) -> dict[str, Any]:
    for name, value in attributes.items():
        template = template.replace(f"<{name}>", value)
    filled: dict[str, Any] = json.loads(template)
    return filled
