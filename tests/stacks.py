"""The CloudFormation templates, read for the tests that hold them to the code."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]
from definitions import ROOT

FOLDER = ROOT / "task-definitions"
STACKS = sorted(FOLDER.rglob("*.yaml"))
RIGHTS = {path.stem: cfn_yaml.load(str(path)) for path in sorted(FOLDER.glob("rights/*.yaml"))}
SHARED, JOB, PIPELINE = (cfn_yaml.load(str(FOLDER / f"{name}.yaml")) for name in ("shared", "job", "pipeline"))


def of_type(kind: str, stack: Mapping[str, Any] = JOB) -> dict[str, Any]:
    """Find a stack's resources of a type, by their names."""
    found = stack["Resources"].items()
    return {name: resource["Properties"] for name, resource in found if resource["Type"] == kind}


def statements(stack: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give every statement of every policy of the stack's roles, whatever it depends on."""
    documents = [one["PolicyDocument"] for one in of_type("AWS::IAM::ManagedPolicy", stack).values()]
    for kind in ("AWS::IAM::RolePolicy", "AWS::IAM::Policy"):
        documents += [one["PolicyDocument"] for one in of_type(kind, stack).values()]
    for role in of_type("AWS::IAM::Role", stack).values():
        documents += [policy["PolicyDocument"] for policy in role.get("Policies", ())]
    for document in documents:
        for statement in document["Statement"]:
            ways = statement["Fn::If"][1:] if "Fn::If" in statement else [statement]
            yield from (way for way in ways if way != {"Ref": "AWS::NoValue"})


def actions(statement: Mapping[str, Any]) -> list[str]:
    """Give what a statement is about, one action or several."""
    found = statement["Action"]
    return list(found) if isinstance(found, list) else [found]


def alarmed() -> list[dict[str, Any]]:
    """Give the metrics that the alarms of a job look at, directly or in an expression."""
    found = []
    for alarm in of_type("AWS::CloudWatch::Alarm").values():
        expressed = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", ()) if "MetricStat" in each]
        found += expressed or [alarm]
    return found


def plotted() -> list[list[str]]:
    """Give the metrics that the dashboard of a job draws: namespace, name, dimension, value, with `.` for what is above written out."""
    [dashboard] = of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(re.sub(r"(?<=: )\$\{\w+\}", "1", dashboard["DashboardBody"]["Fn::Sub"]))
    found: list[list[str]] = []
    for widget in body["widgets"]:
        above: list[str] = []
        for row in widget["properties"].get("metrics", ()):
            above = [above[at] if part == "." else part for at, part in enumerate(row[:4])]
            found.append(above)
    return found
