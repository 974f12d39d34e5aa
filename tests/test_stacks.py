"""The CloudFormation stacks: sound as cfn-lint sees it, and standing on what the worker really emits and a task really says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stacks import JOB, SHARED, STACKS, actions, of_type, statements

from worker.report.emf import METRICS, NAMESPACE


@pytest.mark.parametrize("stack", STACKS, ids=lambda path: path.stem)
def test_stacks_are_clean(stack: Any) -> None:
    """cfn-lint finds nothing, no warning either."""
    lint = [str(Path(sys.executable).with_name("cfn-lint")), str(stack)]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_stacks_import_what_is_exported() -> None:
    """Every name that a job's stack imports is one that the shared stack exports."""
    exported = {output["Export"]["Name"]["Fn::Sub"].removeprefix("${Name}") for output in SHARED["Outputs"].values()}
    imported = set(re.findall(r"'Fn::ImportValue': \{'Fn::Sub': '\$\{Shared\}([^']*)'", str(JOB)))
    assert imported
    assert imported <= exported


def test_stacks_alarms_stand_on_metrics_that_are_emitted() -> None:
    """An alarm or a plot of a metric that nobody emits would be silent for ever."""
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    assert {alarm["MetricName"] for alarm in alarms} == {"Duration", "ErrorRate", "Succeeded"}
    assert all(alarm["Namespace"] == NAMESPACE and alarm["Dimensions"][0]["Name"] == "Job" for alarm in alarms)
    [dashboard] = of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(re.sub(r"\$\{\w+\}", "1", dashboard["DashboardBody"]["Fn::Sub"]))
    rows = [row for widget in body["widgets"] for row in widget["properties"].get("metrics", ())]
    assert {row[1] for row in rows} <= set(METRICS)


def test_stacks_hand_the_scheduled_time_over_as_run_key() -> None:
    """Both schedules give each run the same name however often they fire."""
    [scheduler] = of_type("AWS::Scheduler::Schedule").values()
    [rule] = [rule for rule in of_type("AWS::Events::Rule").values() if "ScheduleExpression" in rule]
    for overrides, value in (
        (scheduler["Target"]["Input"], "<aws.scheduler.scheduled-time>"),
        (rule["Targets"][0]["InputTransformer"]["InputTemplate"], "<time>"),
    ):
        [override] = json.loads(overrides)["containerOverrides"]
        assert override == {"name": "worker", "environment": [{"name": "RUN_KEY", "value": value}]}
    assert rule["Targets"][0]["InputTransformer"]["InputPathsMap"] == {"time": "$.time"}


def test_stacks_lose_no_start_in_silence() -> None:
    """Whatever fires has an age after which it gives up, and a queue for what it gave up."""
    targets = [target for rule in of_type("AWS::Events::Rule").values() for target in rule["Targets"]]
    for target in (*targets, of_type("AWS::Scheduler::Schedule")["ByTheScheduler"]["Target"]):
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"]
        assert target["DeadLetterConfig"]["Arn"]


@pytest.mark.parametrize("stack", [JOB, SHARED], ids=["job", "shared"])
def test_stacks_grant_no_more_than_is_used(stack: dict[str, Any]) -> None:
    """No action is a wildcard; any resource is allowed only where an action knows none."""
    for statement in statements(stack):
        asked = actions(statement)
        assert not any("*" in action for action in asked)
        nowhere = {"ecr:GetAuthorizationToken"} | {action for action in asked if action.startswith("ec2:")}
        assert statement["Resource"] != "*" or set(asked) <= nowhere
