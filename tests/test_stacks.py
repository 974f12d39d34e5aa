"""The CloudFormation stacks: sound as cfn-lint sees it, and standing on what the worker really emits and a task really says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from definitions import ROOT
from stacks import JOB, PIPELINE, RIGHTS, SHARED, STACKS, actions, alarmed, of_type, plotted, statements

from worker.aws.definition_faults import WORKER
from worker.aws.doctor.template import read
from worker.report.emf import AGAINST_USUAL, METRICS, NAMESPACE


@pytest.mark.parametrize("stack", STACKS, ids=lambda path: path.stem)
def test_stacks_are_clean(stack: Any) -> None:
    """cfn-lint finds nothing, no warning either."""
    lint = [str(Path(sys.executable).with_name("cfn-lint")), str(stack)]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("stack", [JOB, PIPELINE], ids=["job", "pipeline"])
def test_stacks_import_what_is_exported(stack: dict[str, Any]) -> None:
    """Every name that a job's or a pipeline's stack imports is one that the shared stack exports."""
    outputs = [output for output in SHARED["Outputs"].values() if "Export" in output]
    exported = {output["Export"]["Name"]["Fn::Sub"].removeprefix("${Name}") for output in outputs}
    imported = set(re.findall(r"'Fn::ImportValue': \{'Fn::Sub': '\$\{Shared\}([^']*)'", str(stack)))
    assert imported
    assert imported <= exported


def test_stacks_export_nothing_that_changes() -> None:
    """CloudFormation refuses to change an export that is imported: what a parameter says, as subnets, must get there another way."""
    exported = [output["Value"] for output in SHARED["Outputs"].values() if "Export" in output]
    assert exported
    assert not [value for value in exported if any(f"'Ref': '{name}'" in str(value) for name in SHARED["Parameters"])]


def test_stacks_names_fit() -> None:
    """The longest that the parameters allow: a role has 64 characters, a bucket 63, in the region with the longest name."""

    def longest(stack: dict[str, Any], name: str) -> int:
        return 1 + int(stack["Parameters"][name]["AllowedPattern"].rpartition(",")[2].rstrip("}"))

    assert len("batch-job--execution") + longest(JOB, "Job") <= 64
    assert longest(SHARED, "Name") + len("-launch-123456789012-ap-southeast-1") <= 63


def test_stacks_alarms_stand_on_metrics_that_are_emitted() -> None:
    """An alarm or a plot of a metric that nobody emits would be silent for ever."""
    emitted = {*METRICS, *AGAINST_USUAL}
    assert {metric["MetricName"] for metric in alarmed()} == {"Duration", "DurationOfUsual", "ErrorRate", "Succeeded"}
    assert all(metric["Namespace"] == NAMESPACE for metric in alarmed())
    assert all(metric["Dimensions"] == [{"Name": "Job", "Value": {"Ref": "Job"}}] for metric in alarmed())
    assert {(namespace, *by) for namespace, _, *by in plotted()} == {(NAMESPACE, "Job", "${Job}")}
    assert {metric["MetricName"] for metric in alarmed()} | {name for _, name, *_ in plotted()} <= emitted


def test_stacks_expect_no_success_of_what_is_paused() -> None:
    """An alarm that rings for a schedule that is disabled on purpose, or not yet let go, teaches to overlook alarms."""
    template = read("job.yaml", (ROOT / "task-definitions" / "job.yaml").read_text(encoding="utf-8"))
    [alarm] = [resource for resource in template.resources if resource.name == "NoSuccess"]

    def rings(**values: str) -> bool:
        return template.given(values).stands(alarm)

    assert rings(SuccessPeriods="6")
    assert not rings(SuccessPeriods="6", ScheduleState="DISABLED")
    assert not rings(SuccessPeriods="0")


def test_stacks_alarm_on_a_duration_half_as_long_again() -> None:
    """The threshold is a share of the usual duration, which the worker knows: nobody types seconds."""
    [expression] = [each for each in JOB["Resources"]["TooLong"]["Properties"]["Metrics"] if "Expression" in each]
    assert expression["Expression"]["Fn::Sub"] == "IF(share > ${LongPercent} AND duration > ${LongFromSeconds}, 1, 0)"
    assert JOB["Parameters"]["LongPercent"]["Default"] == 150


def schedules() -> list[tuple[str, Any, str]]:
    """Give what both schedules send, to the task and to the launcher, with the time as each writes it."""
    scheduler = of_type("AWS::Scheduler::Schedule")["ByTheScheduler"]["Target"]["Input"]["Fn::If"]
    rule = of_type("AWS::Events::Rule")["ByTheRule"]["Targets"][0]["InputTransformer"]
    assert rule["InputPathsMap"] == {"time": "$.time"}
    template = rule["InputTemplate"]["Fn::If"]
    time = "<aws.scheduler.scheduled-time>"
    return [("scheduler", scheduler, time), ("rule", template, "<time>")]


@pytest.mark.parametrize(("trigger", "ways", "time"), schedules(), ids=["scheduler", "rule"])
def test_stacks_hand_the_scheduled_time_over_as_run_key(trigger: str, ways: Any, time: str) -> None:
    """However often a schedule fires for one time, and whomever it asks, the run has one name."""
    condition, asked, overrides = ways
    assert condition == "ByLauncher"
    request = json.loads(asked["Fn::Sub"][0].replace("${Job}", "poll-payments").replace("${Backlog}", "false"))
    told = {"job": "poll-payments", "run_key": time, "scheduled_time": time, "trigger": trigger, "backlog": False}
    assert request == told
    [override] = json.loads(overrides)["containerOverrides"]
    environment = {pair["name"]: pair["value"] for pair in override["environment"]}
    assert override["name"] == WORKER
    assert environment == {"RUN_KEY": time, "SCHEDULED_TIME": time, "TRIGGER": trigger}


@pytest.mark.parametrize(
    ("expression", "taken"),
    [
        ("every hour", False),
        ("rate(0 minutes)", False),
        ("rate(5 minutes)", True),
        ("rate(1 hour)", True),
        ("cron(0 2 * * ? *)", True),
    ],
)
def test_stacks_take_no_schedule_that_is_none(expression: str, taken: bool) -> None:
    """cfn-lint lets any text through; CloudFormation refuses by the parameter's pattern, before anything is changed."""
    assert bool(re.fullmatch(JOB["Parameters"]["Schedule"]["AllowedPattern"], expression)) is taken


def test_stacks_lose_no_start_in_silence() -> None:
    """Whatever fires has an age after which it gives up, and a queue for what it gave up."""
    targets = [target for rule in of_type("AWS::Events::Rule").values() for target in rule["Targets"]]
    for target in (*targets, of_type("AWS::Scheduler::Schedule")["ByTheScheduler"]["Target"]):
        assert target["RetryPolicy"]["MaximumEventAgeInSeconds"]
        assert target["DeadLetterConfig"]["Arn"]
    mappings = of_type("AWS::Lambda::EventSourceMapping").values()
    assert [mapping["FunctionResponseTypes"] for mapping in mappings] == [["ReportBatchItemFailures"]] * 2


def test_stacks_queue_outwaits_the_launcher() -> None:
    """A message comes back only when the launcher can no longer be working on it: six times its timeout, as AWS asks."""
    timeout = SHARED["Resources"]["Launcher"]["Properties"]["Timeout"]
    assert f"{6 * timeout} seconds" in JOB["Parameters"]["StartQueueArn"]["Description"]
    assert of_type("AWS::SQS::Queue")["Objects"]["VisibilityTimeout"] == 6 * timeout


def test_stacks_let_new_objects_wait_for_room() -> None:
    """A hundred uploads at once are more than a job has tasks: what the launcher is handed at once it would put aside."""
    [target] = of_type("AWS::Events::Rule")["ByObjects"]["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Objects", "Arn"]}
    assert of_type("AWS::Lambda::EventSourceMapping")["TakeObjects"]["EventSourceArn"] == target["Arn"]
    hours = of_type("AWS::SQS::Queue")["Objects"]["RedrivePolicy"]["maxReceiveCount"] * 720 / 3_600
    assert hours == 20


def test_stacks_let_the_launcher_ask_ecs_for_what_it_calls() -> None:
    """A right that no line of the code uses is one too many; tags come with RunTask."""
    launch = SHARED["Resources"]["Launch"]["Properties"]["PolicyDocument"]["Statement"]
    granted = {action for statement in launch for action in actions(statement) if action.startswith("ecs:")}
    called = {
        operation
        for file in (ROOT / "worker" / "aws").glob("*.py")
        for operation in re.findall(r'"ecs", "(\w+)"', file.read_text(encoding="utf-8"))
    }
    camel = {f"ecs:{operation.title().replace('_', '')}" for operation in called}
    assert granted == camel | {"ecs:TagResource"}


def test_stacks_let_a_schedule_do_one_thing() -> None:
    """By the launcher it may ask the launcher; else it may start this job's task, with this job's roles."""
    [*choices, aside] = of_type("AWS::IAM::Role")["StartRole"]["Policies"][0]["PolicyDocument"]["Statement"]
    by_launcher = [choice["Fn::If"][1] for choice in choices]
    direct = [choice["Fn::If"][2] for choice in choices]
    assert [each.get("Sid") for each in by_launcher] == ["AskLauncher", None, None]
    assert [each.get("Sid") for each in direct] == ["RunTask", "HandRolesToTask", "TagOnStart"]
    assert actions(aside) == ["sqs:SendMessage"]


@pytest.mark.parametrize("stack", [JOB, SHARED, PIPELINE, *RIGHTS.values()], ids=["job", "shared", "pipeline", *RIGHTS])
def test_stacks_grant_no_more_than_is_used(stack: dict[str, Any]) -> None:
    """No action is a wildcard; any resource is allowed only where an action knows none."""
    for statement in statements(stack):
        asked = actions(statement)
        assert not any("*" in action for action in asked)
        nowhere = {"ecr:GetAuthorizationToken", "ecs:DescribeTaskDefinition", "ecs:ListTasks"} | {
            action
            for action in asked
            if action.startswith("ec2:") or (action.startswith("logs:") and stack is PIPELINE)
        }
        assert statement["Resource"] != "*" or set(asked) <= nowhere
