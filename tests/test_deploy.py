"""`make deploy`: the real AWS command line against a local AWS; a plan first, then the order that runs in flight bear."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aws import REGION, Aws, local_aws
from definitions import FILES, ROOT, values

DEPLOY = ROOT / "task-definitions" / "deploy"
CLI = Path(sys.executable).with_name("aws")
LONG = pytest.mark.soak
"""The command line takes half a second a call."""


class Account(NamedTuple):
    """A local account with what the shared stack needs, and the values of a release into it."""

    aws: Aws
    values: Path
    code: Path

    def deploy(self, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Release something there."""
        own = {"AWS": str(CLI), "PYTHON": sys.executable, "AWS_DEFAULT_REGION": "eu-elsewhere-1", "AWS_PAGER": ""}
        whole = os.environ | self.aws.environment | own | environment
        command = [str(DEPLOY), arguments[0], str(self.values), *arguments[1:]]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=whole,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Give an account with a network, a bucket, and the shared stack, which was planned and then deployed."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "functions-x86_64-0123456789abcdef.zip").write_bytes(b"PK\x05\x06" + 18 * b"\0")
    with local_aws("cloudformation_child.py") as aws:
        ec2 = aws.client("ec2")
        told = {name: value for file in FILES.values() for name, value in values(file.read_text()).items()}
        told = {name: value for name, value in told.items() if not name.endswith("ROLE_ARN") and name != "IMAGE"}
        told["VpcId"] = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        told["PrivateSubnetIds"] = ",".join(each["SubnetId"] for each in ec2.describe_subnets()["Subnets"][:2])
        told["DatabaseSecurityGroupId"] = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        told["FunctionsBucket"] = aws.bucket()
        told["AWS_REGION"] = REGION
        (folder / "test.env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))
        yield Account(aws, folder / "test.env", next(folder.glob("*.zip")))


@pytest.fixture(scope="module")
def shared(account: Account) -> Account:
    """Deploy the shared stack."""
    done = account.deploy("shared", str(account.code), YES="1")
    assert done.returncode == 0, done.stderr
    return account


def definition(aws: Aws, name: str) -> dict[str, Any]:
    """Give the latest revision of a task definition."""
    found: dict[str, Any] = aws.client("ecs").describe_task_definition(taskDefinition=name)["taskDefinition"]
    return found


def given(aws: Aws, stack: str) -> dict[str, str]:
    """Give the parameters that a stack has."""
    [found] = aws.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}


def failing(account: Account, job: str, folder: Path, cases: str) -> "subprocess.CompletedProcess[str]":
    """Release a job where the AWS command line answers some calls otherwise, as AWS can and moto never does; it must end with 1.

    The region of each call is noted in the folder.
    """
    program = folder / "aws"
    noted = f'echo "$AWS_REGION" >> {folder}/regions'
    program.write_text(f'#!/bin/sh\n{noted}\ncase "$*" in {cases} *) exec {CLI} "$@" ;; esac\n')
    program.chmod(0o755)
    done = account.deploy(job, "ecs-batch-worker:1.2.3", YES="1", AWS=str(program))
    assert done.returncode == 1, done.stderr
    return done


def families(account: Account, job: str) -> list[str]:
    """List what is registered of a job."""
    found: list[str] = account.aws.client("ecs").list_task_definition_families(familyPrefix=job)["families"]
    return found


@LONG
def test_deploy_without_a_yes_shows_the_plan_alone(account: Account, tmp_path: Path) -> None:
    """Where nobody can be asked it says what would change, changes nothing, and ends with 0."""
    other = tmp_path / "other.env"  # moto takes one change set for a stack that is not there yet
    other.write_text(account.values.read_text() + "Shared=other\n")
    done = account._replace(values=other).deploy("shared", str(account.code))
    assert done.returncode == 0, done.stderr
    assert "AWS::Lambda::Function" in done.stdout
    assert "Nothing was changed" in done.stdout
    names = [each["FunctionName"] for each in account.aws.client("lambda").list_functions()["Functions"]]
    assert "other-launcher" not in names


def test_deploy_shared_makes_the_functions(shared: Account) -> None:
    """All three, of the code that was put into the bucket."""
    functions = shared.aws.client("lambda").list_functions()["Functions"]
    assert {each["FunctionName"] for each in functions} == {"batch-launcher", "batch-reporter", "batch-auditor"}
    launcher = next(each for each in functions if each["FunctionName"] == "batch-launcher")
    assert launcher["Environment"]["Variables"]["DATABASE_URL_ARN"].startswith("arn:aws:secretsmanager:")
    assert "RUN_TABLE" not in launcher["Environment"]["Variables"]


def test_deploy_migrates_before_it_registers(shared: Account) -> None:
    """The stack, then the migration by the new image under a family of its own, and then the revision that starts use."""
    done = shared.deploy("poll-payments", "ecs-batch-worker:1.2.3", YES="1", PARAMETERS="StartBy=launcher")
    assert done.returncode == 0, done.stderr
    steps = [line.removeprefix("== ") for line in done.stdout.splitlines() if line.startswith("== ")]
    assert steps[2:5] == ["stack batch-poll-payments", "migrate", "register"]
    assert "The alarm poll-payments-no-success rings now, once, until the first success" in done.stdout
    aws = shared.aws
    registered = definition(aws, "poll-payments")
    assert registered["containerDefinitions"][0]["image"].endswith("/batch-worker:1.2.3")
    assert definition(aws, "poll-payments-migrate")["containerDefinitions"] == registered["containerDefinitions"]
    told = given(aws, "batch-poll-payments")
    assert told["PrivateSubnetIds"] == given(aws, "batch")["PrivateSubnetIds"]
    assert (told["Schedule"], told["StartBy"], told["Shared"]) == ("rate(5 minutes)", "launcher", "batch")
    assert told["ScheduleState"] == "ENABLED"  # once there is a revision
    stacks = aws.client("cloudformation").describe_stacks(StackName="batch-poll-payments")["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stacks[0]["Outputs"]}
    assert outputs["ExecutionRoleArn"] == registered["executionRoleArn"]
    assert outputs["TaskRoleArn"] == registered["taskRoleArn"]
    [task] = aws.client("ecs").list_tasks(cluster="batch", family="poll-payments-migrate")["taskArns"]
    [ran] = aws.client("ecs").describe_tasks(cluster="batch", tasks=[task])["tasks"]
    assert ran["group"] == "migrate"
    assert ran["overrides"]["containerOverrides"] == [{"name": "worker", "command": ["migrate"]}]


@LONG
def test_deploy_registers_nothing_after_a_failed_migration(shared: Account, tmp_path: Path) -> None:
    """Starts go on with the revision before; the message says which task to look at."""
    done = failing(shared, "daily-report", tmp_path, "*exitCode*) echo 1 ;;")
    assert "the migration ended with 1, no revision was registered; what it said is in /ecs/daily-report" in done.stderr
    assert families(shared, "daily-report") == ["daily-report-migrate"]
    assert (
        given(shared.aws, "batch-daily-report")["ScheduleState"] == "DISABLED"
    )  # as long as there is no revision to start


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name batch-daily-report, then this again"),
        pytest.param("UPDATE_ROLLBACK_FAILED", "continue-update-rollback --stack-name batch-daily-report", marks=LONG),
        pytest.param("UPDATE_IN_PROGRESS", "somebody is changing it", marks=LONG),
    ],
)
def test_deploy_says_what_a_broken_stack_needs(account: Account, tmp_path: Path, state: str, said: str) -> None:
    """It is told before anything is planned, with the command that mends it, and in the region of the file: spaces in it do no harm."""
    spaced = tmp_path / "spaced.env"
    spaced.write_text(account.values.read_text().replace("AWS_REGION=", "  AWS_REGION = "))
    cases = f"*StackStatus*) echo {state} ;; *OutputValue*) echo repository ;;"
    done = failing(account._replace(values=spaced), "daily-report", tmp_path, cases)
    assert f"the stack batch-daily-report is {state}: " in done.stderr
    assert said in done.stderr
    assert set((tmp_path / "regions").read_text().split()) == {REGION}


def test_deploy_takes_no_silence_for_a_first_release(account: Account, tmp_path: Path) -> None:
    """Whether there is a revision decides whether the schedule is on: where ECS does not say, nothing is done."""
    cases = "*describe-task-definition*) echo 'Rate exceeded' >&2; exit 254 ;; *OutputValue*) echo repository ;;"
    done = failing(account, "daily-report", tmp_path, cases)
    assert done.stderr.strip() == "Rate exceeded"
    assert "plan" not in done.stdout


@LONG
def test_deploy_says_why_a_stack_was_not_changed(shared: Account, tmp_path: Path) -> None:
    """The reasons of its events are shown; nothing is migrated or registered after it."""
    events = "*describe-stack-events*) printf 'Logs\\t/ecs/expire-sessions already exists\\n' ;;"
    done = failing(shared, "expire-sessions", tmp_path, f"*'wait stack-'*) exit 255 ;; {events}")
    assert "Logs\t/ecs/expire-sessions already exists" in done.stderr
    assert "the stack batch-expire-sessions could not be changed" in done.stderr
    assert "== migrate" not in done.stdout
    assert families(shared, "expire-sessions") == []


@LONG
def test_deploy_says_why_no_task_was_placed(shared: Account, tmp_path: Path) -> None:
    """ECS answers 200 and starts nothing: the reason is told, and nothing is registered for starts."""
    done = failing(shared, "sync-customers", tmp_path, "*run-task*) printf 'None\\tRESOURCE:ENI\\n' ;;")
    assert "ECS could place no task for the migration (RESOURCE:ENI)" in done.stderr
    assert families(shared, "sync-customers") == ["sync-customers-migrate"]


@LONG
def test_deploy_again_changes_the_revision_alone(shared: Account) -> None:
    """A release of nothing but a new image has an empty change set, which is no fault, and registers the next revision."""
    for version in ("1.0.0", "1.0.1"):
        done = shared.deploy("digest-uploads", f"ecs-batch-worker:{version}", YES="1")
        assert done.returncode == 0, done.stderr
    assert "no changes" in done.stdout
    assert definition(shared.aws, "digest-uploads")["revision"] == 2
    assert given(shared.aws, "batch-digest-uploads")["ScheduleState"] == "ENABLED"
    iam = shared.aws.client("iam")
    allowed = iam.get_role_policy(RoleName="batch-job-digest-uploads-task", PolicyName="job")["PolicyDocument"][
        "Statement"
    ]
    assert [statement["Sid"] for statement in allowed] == ["List", "Uploads", "Digests"]
    assert allowed[0]["Resource"] == "arn:aws:s3:::test"


@pytest.mark.parametrize(
    ("job", "parameters", "said"),
    [
        ("poll-payment", "", "did you mean 'poll-payments'?"),
        ("daily-report", "StrtBy=x", "no stack has such a parameter"),
    ],
)
def test_deploy_says_what_is_wrong_before_it_asks_aws(account: Account, job: str, parameters: str, said: str) -> None:
    """A typo ends it before any change set is made."""
    done = account.deploy(job, "registry/worker:1", PARAMETERS=parameters, YES="1")
    assert done.returncode != 0
    assert said in done.stderr
    assert "plan" not in done.stdout


@pytest.mark.parametrize(("job", "said"), [("", "JOB is not set"), ("poll-payments", "cannot be read")])
def test_deploy_says_what_it_was_not_given(tmp_path: Path, job: str, said: str) -> None:
    """A job, and a file of values, before anything else."""
    command = [str(DEPLOY), job, str(tmp_path / "none.env"), "registry/worker:1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
