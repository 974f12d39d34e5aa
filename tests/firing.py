"""Fire a job's schedule, as EventBridge Scheduler and as a CloudWatch rule: what each hands to its target, taken from job.yaml itself.

Scheduler puts its context attributes into the Input (Scheduler User Guide, "Adding context attributes"); a rule makes its target's
input of the scheduled event by the InputTransformer (EventBridge User Guide, "Input transformation").
"""

import json
from collections.abc import Iterator
from typing import Any

from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]
from definitions import ROOT

_RESOURCES = cfn_yaml.load(str(ROOT / "task-definitions" / "job.yaml"))["Resources"]


def by_scheduler(job: str, time: str, wanted: str) -> dict[str, Any]:
    """Give the input of Scheduler's target that mentions `wanted`, fired for a time."""
    return _filled(_one("AWS::Scheduler::Schedule", "Input", wanted), job, {"aws.scheduler.scheduled-time": time})


def by_rule(job: str, time: str, wanted: str) -> dict[str, Any]:
    """Give the input of the scheduled rule's target that mentions `wanted`, fired at a time."""
    return _filled(_one("AWS::Events::Rule", "InputTemplate", wanted), job, {"time": time})


def _one(kind: str, field: str, wanted: str) -> str:
    schedules = [
        each for each in _RESOURCES.values() if each["Type"] == kind and "ScheduleExpression" in each["Properties"]
    ]
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


def _filled(template: str, job: str, attributes: dict[str, str]) -> dict[str, Any]:
    for name, value in attributes.items():
        template = template.replace(f"<{name}>", value)
    filled: dict[str, Any] = json.loads(template.replace("${Job}", job))
    return filled
