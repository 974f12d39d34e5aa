"""Find what a stack does not notice, or keeps too long: rules, alarms, logs, networks, state machines."""

import json
import re
from collections.abc import Iterator
from typing import Any

from worker.aws.doctor import codes
from worker.aws.doctor.clocks import interval
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.template import Resource, Template, mappings, texts
from worker.job import Job

_ALARM = "AWS::CloudWatch::Alarm"
_SUCCESSES = "Succeeded"
"""The metric of which there is none when nothing runs."""


def oversights(template: Template) -> Iterator[Finding]:
    """Say what is amiss around the jobs, whichever it is."""
    for resource in template.resources:
        yield from _network(resource)
    for rule in template.of_type("AWS::Events::Rule"):
        yield from _rule(rule)
    for group in template.of_type("AWS::Logs::LogGroup"):
        if "RetentionInDays" not in group.properties:
            yield codes.LOGS_FOR_EVER.at(group.place("RetentionInDays"), "is not said", "RetentionInDays: 30")
    for alarm in template.of_type(_ALARM):
        found = alarm.properties.get("TreatMissingData", "missing")
        if alarm.properties.get("MetricName") == _SUCCESSES and found != "breaching":
            path = alarm.place("TreatMissingData")
            yield codes.SILENCE_IS_SUCCESS.at(path, f"is {found}", "TreatMissingData: breaching")
        if not alarm.properties.get("AlarmActions"):
            line = 'AlarmActions: [{"Fn::ImportValue": !Sub "${Shared}-alerts"}]'
            yield codes.ALARM_TELLS_NOBODY.at(alarm.place("AlarmActions"), "there is none", line)
    for machine in template.of_type("AWS::StepFunctions::StateMachine"):
        yield from _machine(machine)


def too_eager(template: Template, job: type[Job[Any]]) -> Iterator[Finding]:
    """Say where an alarm expects successes of a job more often than the job is scheduled."""
    apart = interval(job)
    if apart is None:
        return
    seconds = apart.total_seconds()
    for alarm in template.of_type(_ALARM):
        about = {template.text(dimension.get("Value")) for dimension, _ in mappings(alarm.properties.get("Dimensions"))}
        if alarm.properties.get("MetricName") != _SUCCESSES or job.name not in about or not template.stands(alarm):
            continue
        period = template.number(alarm.properties.get("Period"))
        times = template.number(alarm.properties.get("EvaluationPeriods"))
        if period and times and period * times < seconds:
            what = f"a success is expected every {period * times:g} s, and {job.schedule} comes every {seconds:g} s"
            line = f"EvaluationPeriods: {-(-seconds // period):g}, or a longer Period"
            yield codes.ALARM_TOO_EAGER.at(alarm.place("Period"), what, line)


def _network(resource: Resource) -> Iterator[Finding]:
    def places(node: Any, path: str) -> Iterator[str]:
        if isinstance(node, dict):
            for name, value in node.items():
                if name == "AssignPublicIp" and value == "ENABLED":
                    yield f"{path}.{name}"
                yield from places(value, f"{path}.{name}")
        elif isinstance(node, list):
            for number, value in enumerate(node):
                yield from places(value, f"{path}.{number}")

    for path in places(resource.properties, f"Resources.{resource.name}.Properties"):
        yield codes.PUBLIC_ADDRESS.at(path, "is ENABLED", "AssignPublicIp: DISABLED")


def _rule(rule: Resource) -> Iterator[Finding]:
    """Look whether a rule that goes by exit codes sees the tasks that have none."""
    pattern = rule.properties.get("EventPattern") or {}
    whole = json.dumps(pattern, default=str)
    if "aws.ecs" in texts(pattern) and '"exitCode"' in whole and '"exitCode": [{"exists": false}]' not in whole:
        line = "- containers: {name: [worker], exitCode: [{exists: false}]}"
        yield codes.BLIND_RULE.at(rule.place("EventPattern"), "goes by exitCode, and does not see what has none", line)


def _machine(machine: Resource) -> Iterator[Finding]:
    for name in ("Definition", "DefinitionString"):
        for text in _definitions(machine.properties.get(name)):
            document = _parsed(text)
            if "TimeoutSeconds" in document:
                continue
            for state, path in _states(document, machine.place(name)):
                if "TimeoutSeconds" not in state and "TimeoutSecondsPath" not in state:
                    yield codes.WAITS_FOR_EVER.at(path, f"{state['Resource']} has no timeout", '"TimeoutSeconds": 7200')


def _definitions(node: Any) -> Iterator[Any]:
    """Give a state machine's definition, as it may be written: a text, one with variables, or a document."""
    if isinstance(node, dict) and ("States" in node or "StartAt" in node):
        yield node
    else:
        yield from texts(node)


def _parsed(definition: Any) -> dict[str, Any]:
    if isinstance(definition, str):
        try:
            definition = json.loads(re.sub(r"\$\{[^}]*\}", "1", definition))  # a number within a text is as good
        except ValueError:  # cfn-lint's to say
            return {}
    return definition if isinstance(definition, dict) else {}


def _states(node: Any, path: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Find the states that wait for a task, however deep."""
    if isinstance(node, dict):
        if ":ecs:runTask." in str(node.get("Resource", "")):
            yield node, path
        for name, value in node.items():
            yield from _states(value, f"{path}.{name}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _states(value, f"{path}.{number}")
