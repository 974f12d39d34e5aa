"""The shared stack: three functions that reach the database and nothing else, and a bucket that forgets."""

from pathlib import Path
from typing import Any

import pytest
from definitions import ROOT
from stacks import JOB, SHARED, actions, of_type, statements
from templates import Template

from worker.aws import function_package
from worker.environment import VARIABLES

FUNCTIONS = of_type("AWS::Lambda::Function", SHARED)


def handler_file(function: dict[str, Any]) -> Path:
    """Give the file that a function's handler is in."""
    return ROOT.joinpath(*function["Handler"].split(".")[:-1]).with_suffix(".py")


def test_shared_stack_has_its_functions() -> None:
    """Launcher, reporter and auditor, each of its own file, all from one package."""
    assert {handler_file(function).stem for function in FUNCTIONS.values()} == {"launcher", "reporter", "auditor"}
    assert len({str(function["Code"]) for function in FUNCTIONS.values()}) == 1
    assert {function["Runtime"] for function in FUNCTIONS.values()} == {f"python{function_package.RUNTIME}"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shared_stack_function_is_bounded(name: str) -> None:
    """Each is in the private subnets, with a role and a log group of its own, and so many at a time."""
    function, resources = FUNCTIONS[name], SHARED["Resources"]
    assert function["VpcConfig"]["SubnetIds"] == {"Ref": "PrivateSubnetIds"}
    assert function["Role"] == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
    assert function["ReservedConcurrentExecutions"]
    assert resources[f"{name}Logs"]["Properties"]["RetentionInDays"]
    assert "MaximumRetryAttempts" in resources[f"{name}Failures"]["Properties"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shared_stack_functions_get_secrets_by_name(name: str) -> None:
    """Whoever may read a function's configuration reads no secret: they are given as <NAME>_ARN."""
    secret = {variable.name for variable in VARIABLES if variable.secret}
    environment = FUNCTIONS[name]["Environment"]["Variables"]
    assert not secret & environment.keys()
    assert {key.removesuffix("_ARN") for key in environment} <= {variable.name for variable in VARIABLES}
    assert {"DATABASE_URL_ARN", "RUN_TABLE"} <= environment.keys()


@pytest.mark.parametrize(
    ("arn", "readable"),
    [
        ("arn:aws:secretsmanager:eu-1:1:secret:db-Ab12Cd", "{secret}:db-Ab12Cd"),
        ("arn:aws:secretsmanager:eu-1:1:secret:db-Ab12Cd:url::", "{secret}:db-Ab12Cd"),
        ("arn:aws:ssm:eu-1:1:parameter/db", "arn:aws:ssm:eu-1:1:parameter/db"),
    ],
    ids=["a secret", "a field of one", "a parameter"],
)
def test_shared_stack_functions_may_read_what_definitions_may_name(arn: str, readable: str) -> None:
    """A secret, one field of it, or a parameter: whatever ECS takes for jobs is named once, for the functions as well."""
    secret = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret"
    stack = Template("shared", **{"DatabaseUrlArn": arn, "AWS::NoValue": ""})
    [statement, _] = stack.properties("RunStore", "PolicyDocument", "Statement")
    assert readable.format(secret=secret) in statement["Resource"]
    assert set(statement["Action"]) == {"secretsmanager:GetSecretValue", "ssm:GetParameter"}


def test_shared_stack_tells_the_auditor_which_jobs_are_paused() -> None:
    """Without it a schedule that is disabled on purpose is an alarm that nobody can turn off."""
    assert FUNCTIONS["Auditor"]["Environment"]["Variables"]["AUDIT_SKIP"] == {"Ref": "AuditSkip"}
    assert SHARED["Parameters"]["AuditSkip"]["Default"] == ""


def test_shared_stack_launches_jobs_alone() -> None:
    """It starts tasks in the one cluster, and hands roles of jobs to ECS, to nobody else."""
    [start] = [each for each in statements(SHARED) if "ecs:RunTask" in actions(each)]
    assert start["Condition"] == {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": ["Cluster", "Arn"]}}}
    [passed] = [each for each in statements(SHARED) if "iam:PassRole" in actions(each)]
    assert passed["Resource"]["Fn::Sub"].endswith(":role/${Name}-job-*")
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    names = [role["RoleName"]["Fn::Sub"] for role in of_type("AWS::IAM::Role").values() if "RoleName" in role]
    assert [name.replace("${Shared}", "${Name}").startswith("${Name}-job-") for name in names] == [True, True]


def test_shared_stack_has_one_way_to_the_reporter() -> None:
    """Every end of a job's task comes once: by one rule here, by none of a job's stack."""
    [rule] = [rule for rule in of_type("AWS::Events::Rule", SHARED).values() if "EventPattern" in rule]
    assert rule["EventPattern"]["detail"]["lastStatus"] == ["STOPPED"]
    [target] = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Reporter", "Arn"]}
    assert target["DeadLetterConfig"]["Arn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    assert "aws.ecs" not in str(of_type("AWS::Events::Rule", JOB))
    assert SHARED["Resources"]["ReporterFailures"]["Properties"]["DestinationConfig"]["OnFailure"] == {
        "Destination": {"Ref": "Alerts"}
    }


def test_shared_stack_audits_every_five_minutes() -> None:
    """On a schedule, with an alarm for when no audit goes well."""
    [schedule] = of_type("AWS::Scheduler::Schedule", SHARED).values()
    assert schedule["ScheduleExpression"] == "rate(5 minutes)"
    assert schedule["Target"]["RetryPolicy"]["MaximumEventAgeInSeconds"] < 300
    assert of_type("AWS::CloudWatch::Alarm", SHARED)["NobodyAudits"]["TreatMissingData"] == "breaching"


def test_shared_stack_launch_bucket_forgets() -> None:
    """What is too large for an override is encrypted, open to nobody, and gone after a while."""
    [bucket] = of_type("AWS::S3::Bucket", SHARED).values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"]


def test_shared_stack_keeps_no_log_for_ever() -> None:
    """Every log group of both stacks has a retention."""
    groups = [*of_type("AWS::Logs::LogGroup", SHARED).values(), *of_type("AWS::Logs::LogGroup", JOB).values()]
    assert len(groups) == 5
    assert all(group["RetentionInDays"] for group in groups)
