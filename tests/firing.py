"""Fire a job's schedule, as EventBridge Scheduler and as a CloudWatch rule, and listen as its rules do: all of it taken from the stacks.

Scheduler puts its context attributes into the Input (Scheduler User Guide, "Adding context attributes"); a rule makes its target's
input of the scheduled event by the InputTransformer (EventBridge User Guide, "Input transformation").
"""

import json
from collections.abc import Iterator
from typing import Any

from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]
from definitions import ROOT

_JOB, _SHARED = (cfn_yaml.load(str(ROOT / "task-definitions" / f"{name}.yaml")) for name in ("job", "shared"))

DIRECT, LAUNCHER = '"containerOverrides"', '"job"'
"""What the input holds of a schedule that starts the task itself, or that asks the launcher."""


def by_scheduler(job: str, time: str, start_by: str = LAUNCHER, **parameters: str) -> dict[str, Any]:
    """Give the input of Scheduler's target, fired for a time, in a stack with these parameters."""
    text = _one("AWS::Scheduler::Schedule", "Input", start_by)
    return _filled(text, {"Job": job} | parameters, {"aws.scheduler.scheduled-time": time})


def by_rule(job: str, time: str, start_by: str = LAUNCHER) -> dict[str, Any]:
    """Give the input of the scheduled rule's target, fired at a time."""
    return _filled(_one("AWS::Events::Rule", "InputTemplate", start_by), {"Job": job}, {"time": time})


def stopped_tasks(cluster: str) -> dict[str, Any]:
    """Give the pattern of the rule that hands ends of tasks to the reporter."""
    return _pattern(_SHARED, "StoppedTasks", {"Cluster.Arn": cluster})


def new_objects(bucket: str, prefix: str) -> dict[str, Any]:
    """Give the pattern of the rule that hands new objects to the launcher."""
    return _pattern(_JOB, "ByObjects", {"StartBucket": bucket, "StartPrefix": prefix})


def _pattern(stack: Any, name: str, values: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = _resolved(stack["Resources"][name]["Properties"]["EventPattern"], values)
    return found


def _resolved(node: Any, values: dict[str, str]) -> Any:
    if isinstance(node, dict) and len(node) == 1 and next(iter(node)) in ("Ref", "Fn::GetAtt"):
        [said] = node.values()
        return values[".".join(said) if isinstance(said, list) else said]
    if isinstance(node, dict):
        return {name: _resolved(value, values) for name, value in node.items()}
    return [_resolved(value, values) for value in node] if isinstance(node, list) else node


def _one(kind: str, field: str, wanted: str) -> str:
    all_of_kind = [each["Properties"] for each in _JOB["Resources"].values() if each["Type"] == kind]
    schedules = [each for each in all_of_kind if "ScheduleExpression" in each]
    [template] = [text for each in schedules for text in _texts(each, field) if wanted in text]
    return template


def _texts(node: Any, field: str, inside: bool = False) -> Iterator[str]:
    """Give all texts that a field may have, whatever condition they stand under."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _texts(value, field, inside or name == field)
    elif isinstance(node, list):
        for value in node:
            yield from _texts(value, field, inside)
    elif inside and isinstance(node, str):
        yield node


def _filled(template: str, given: dict[str, str], attributes: dict[str, str]) -> dict[str, Any]:
    parameters = {name: str(about.get("Default", "")) for name, about in _JOB["Parameters"].items()} | given
    parameters["Backlog"] = "true" if parameters["BacklogQueueArn"] else "false"  # as the input's Fn::Sub has it
    for name, value in parameters.items():
        template = template.replace(f"${{{name}}}", value)
    for name, value in attributes.items():
        template = template.replace(f"<{name}>", value)
    filled: dict[str, Any] = json.loads(template)
    return filled
