"""A stack's parameters come from the job: nobody types a schedule twice."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from definitions import FILES, shown_values, values
from stacks import JOB, RIGHTS, SHARED

from worker import Cron, Every, Job, minutes, registry
from worker.aws import given, stack_parameters
from worker.aws.stack_parameters import longest, main, parameters
from worker.aws.task_definition import RELEASED, variables

JOBS = {name: registry.load(name) for name in registry.names()}
OF_AWS = ("_BUCKET", "_TABLE", "_QUEUE_URL")
SCHEDULED = [name for name, job in JOBS.items() if job.schedule]


HALF_AN_HOUR = minutes(30)


def job_of(schedule: Every | Cron | None, timeout: timedelta = HALF_AN_HOUR) -> type[Job[Any]]:
    """Make a job of nothing but its schedule."""
    return type("Anything", (Job,), {"name": "anything", "schedule": schedule, "timeout": timeout})


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    """Run the command and give what it prints."""
    assert main(arguments) == 0
    return dict(each.split("=", 1) for each in json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", FILES)
def test_stack_parameters_name_the_run_store_of_a_job_without_a_database(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its task may not use the table otherwise; where the runs are in PostgreSQL it may not, for it need not."""
    text = FILES[name].read_text(encoding="utf-8")
    file = tmp_path / "test.env"
    file.write_text("".join(f"{key}={value}\n" for key, value in {"RUN_TABLE": "runs", **values(text)}.items()))
    found = printed(capsys, name, str(file)).get("RunStoreTable")
    assert found == (values(text)["RUN_TABLE"] if "${RUN_TABLE}" in text else None)


@pytest.mark.parametrize("name", SCHEDULED)
def test_stack_parameters_retry_a_start_for_less_than_the_interval(name: str) -> None:
    """A start that is still tried when the next is due makes starts pile up."""
    schedule = JOBS[name].schedule
    assert schedule is not None
    age = int(parameters(JOBS[name], [])["RetryAgeSeconds"])
    assert 60 <= age < schedule.shortest.total_seconds()
    assert JOB["Parameters"]["RetryAgeSeconds"]["MinValue"] <= age <= JOB["Parameters"]["RetryAgeSeconds"]["MaxValue"]


@pytest.mark.parametrize(
    ("schedule", "expression", "zone", "age"),
    [
        (Every(minutes=5), "rate(5 minutes)", "UTC", 240),
        (Every(hours=1), "rate(1 hour)", "UTC", 2_880),
        (Every(minutes=1), "rate(1 minute)", "UTC", 60),
        (Cron("0 2 * * ? *", zone="Europe/Berlin"), "cron(0 2 * * ? *)", "Europe/Berlin", 3_600),
        (Cron("0,10 2 * * ? *"), "cron(0,10 2 * * ? *)", "UTC", 480),
    ],
)
def test_stack_parameters_say_the_schedule(schedule: Every | Cron, expression: str, zone: str, age: int) -> None:
    """Expression, zone and the age at which a start is given up; the last can not be below CloudFormation's 60 s."""
    found = parameters(job_of(schedule), [])
    assert (found["Schedule"], found["ScheduleZone"], found["RetryAgeSeconds"]) == (expression, zone, str(age))


@pytest.mark.parametrize(
    ("schedule", "timeout", "period", "periods"),
    [
        (Every(minutes=5), minutes(20), 300, 6),
        (Every(hours=12), minutes(30), 3_600, 14),
        (Cron("0 3 * * ? *"), minutes(30), 3_600, 26),
        (Cron("0 3 ? * MON-FRI *"), minutes(30), 3_600, 74),
        (Cron("0 3 ? * SUN *"), minutes(30), 3_600, 0),
        (Cron("0 3 1 * ? *"), minutes(30), 3_600, 0),
    ],
)
def test_stack_parameters_expect_a_success_after_the_longest_gap(
    schedule: Every | Cron, timeout: timedelta, period: int, periods: int
) -> None:
    """The longest time between two runs and the timeout; beyond CloudWatch's seven days the auditor alone looks."""
    found = parameters(job_of(schedule, timeout), [])
    assert (found["SuccessPeriod"], found["SuccessPeriods"]) == (str(period), str(periods))
    assert period in JOB["Parameters"]["SuccessPeriod"]["AllowedValues"]
    assert period * periods <= (86_400 if period < 3_600 else 7 * 86_400)


def test_stack_parameters_see_the_clock_change() -> None:
    """The night in autumn is an hour longer; where no run comes any more there is no gap to expect one in."""
    gap = longest(Cron("0 12 * * ? *", zone="Europe/Berlin"))
    assert gap in (timedelta(hours=24), timedelta(hours=25))
    assert longest(Cron("0 12 * * ? 1999")) is None


def test_stack_parameters_of_a_job_without_schedule() -> None:
    """Nobody schedules it, and no success is expected at any time."""
    assert parameters(job_of(None), []) == {"Job": "anything", "SecretArns": "", "ScheduledBy": "nobody"}


@pytest.mark.parametrize("name", FILES)
def test_stack_parameters_are_the_template_s(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every one that is printed is one that the template takes, and the secrets are those of the task definition."""
    values_file = tmp_path / "production.env"
    text = FILES[name].read_text(encoding="utf-8")
    values_file.write_text("# of all jobs\n" + "".join(f"{key}={value}\n" for key, value in values(text).items()))
    found = printed(capsys, name, str(values_file), "StartBy=launcher")
    assert found.keys() <= JOB["Parameters"].keys()
    assert found["StartBy"] == "launcher"
    assert set(found["SecretArns"].split(",")) == {secret for secret in values(text).values() if ":secret:" in secret}


def test_stack_parameters_of_the_shared_stack(capsys: pytest.CaptureFixture[str]) -> None:
    """What task definitions are given already is not typed again; runs are in PostgreSQL where there is one."""
    given = (
        "Shared=night",
        "DATABASE_URL_ARN=arn:aws:secretsmanager:eu-central-1:1:secret:db-A:url::",
        "RUN_TABLE=runs",
    )
    found = printed(capsys, "shared", *given, "VpcId=vpc-1", "StartBy=launcher", "DD_ENV=prod", "IMAGE=a/b:1")
    assert found == {
        "Name": "night",
        "DatabaseUrlArn": "arn:aws:secretsmanager:eu-central-1:1:secret:db-A:url::",
        "DatadogEnv": "prod",
        "VpcId": "vpc-1",
    }
    assert printed(capsys, "shared", "RUN_TABLE=runs") == {"RunTable": "runs"}
    assert {*stack_parameters.FROM_VARIABLES, "RunTable", "Name"} <= SHARED["Parameters"].keys()


def test_stack_parameters_name_whole_secrets() -> None:
    """ECS takes a field of a secret, IAM does not know it; two fields of one secret are one ARN."""
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf"
    parameter = "arn:aws:ssm:eu-central-1:123456789012:parameter/db"
    found = parameters(job_of(None), [f"{arn}:url::", f"{arn}:key::v1", arn, parameter])
    assert found["SecretArns"] == f"{arn},{parameter}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ""),
        (("poll-payment",), "did you mean 'poll-payments'?"),
        (("poll-payments", "nowhere.env"), "nowhere.env cannot be read: No such file"),
        (("poll-payments",), "${DATABASE_URL_ARN} has no value"),
        (
            ("poll-payments", "FILE", "StrtBy=launcher"),
            "StrtBy=launcher: no stack has such a parameter; this one has Shared, Job, PrivateSubnetIds, StartBy",
        ),
        (("rights/digest-uploads",), "DigestsTable of rights/digest-uploads has no value: add DIGESTS_TABLE=…"),
        (("poll-payments", "BROKEN"), "broken.env:2: 'StartBy launcher' is not NAME=value"),
    ],
)
def test_stack_parameters_refuse(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Wrong use ends with 2 and a word on stderr, and prints nothing that could be deployed."""
    good, broken = tmp_path / "good.env", tmp_path / "broken.env"
    given = values(FILES["poll-payments"].read_text(encoding="utf-8"))
    good.write_text("".join(f"{key}={value}\n" for key, value in given.items()))
    broken.write_text("A=1\nStartBy launcher\n")
    assert main([{"FILE": str(good), "BROKEN": str(broken)}.get(word, word) for word in arguments]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Job=" not in captured.out


def test_stack_parameters_know_that_a_rule_is_in_utc(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job in another zone would start at another hour, in silence."""
    monkeypatch.setattr(JOBS["daily-report"], "schedule", Cron("30 1 * * ? *", zone="Europe/Berlin"))
    monkeypatch.setattr(stack_parameters, "_secrets", lambda *_: [])
    assert main(["daily-report", "ScheduledBy=rule"]) == 2
    assert "a rule knows UTC alone, and daily-report runs by Europe/Berlin" in capsys.readouterr().err


def test_stack_parameters_are_all_in_the_page_on_ecs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file of values that the page begins with is enough for the definition and both stacks."""
    file = tmp_path / "production.env"
    file.write_text(shown_values())
    said = given.read([str(file)]).every()
    known = set(variables(FILES["poll-payments"].read_text(encoding="utf-8")))
    assert known - said.keys() == RELEASED
    for stack, name, later in ((SHARED, "shared", {"FunctionsKey"}), (JOB, "poll-payments", set[str]())):
        needed = {key for key, one in stack["Parameters"].items() if "Default" not in one}
        assert needed - printed(capsys, name, str(file)).keys() == later


def test_stack_parameters_of_rights_are_those_of_the_definitions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each job that works on buckets, tables or queues has a template of its rights; what its definition is given is enough for it."""
    named = {name: variables(file.read_text(encoding="utf-8")) for name, file in FILES.items()}
    works = {name: [one for one in said if one.endswith(OF_AWS) and one != "RUN_TABLE"] for name, said in named.items()}
    assert RIGHTS.keys() == {name for name, said in works.items() if said}
    file = tmp_path / "production.env"
    for name, stack in RIGHTS.items():
        file.write_text("".join(f"{one}=given\n" for one in (*works[name], "WEBHOOK_DEAD_LETTERS")))
        assert printed(capsys, f"rights/{name}", str(file)).keys() == stack["Parameters"].keys() - {"Shared"}
    assert printed(capsys, f"rights/{name}", str(file), "Shared=staging")["Shared"] == "staging"
