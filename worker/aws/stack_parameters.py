"""Print the parameters of a job's stack: its schedule and all that follows from it, and the secrets that its task reads.

::

    python -m worker.aws.stack_parameters poll-payments production.env StartBy=launcher
    python -m worker.aws.stack_parameters shared production.env
    python -m worker.aws.stack_parameters rights/digest-uploads production.env

The second prints those of the stack that jobs share, the third those of what one job may do besides. `aws cloudformation deploy` takes them by `--parameter-overrides file://…`.
"""

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from worker import registry
from worker.aws import given
from worker.aws.task_definition import render, variables
from worker.errors import Faults
from worker.job import Job
from worker.schedule import Cron, Every

FOLDER = Path("task-definitions")

SHARED = "shared"
FROM_VARIABLES = {
    "DatabaseUrlArn": "DATABASE_URL_ARN",
    "SlackWebhookUrlArn": "SLACK_WEBHOOK_URL_ARN",
    "DatadogApiKeyArn": "DD_API_KEY_ARN",
    "DatadogSite": "DD_SITE",
    "DatadogEnv": "DD_ENV",
}
"""The shared stack's parameters that task definitions know as variables."""

_USAGE = "usage: python -m worker.aws.stack_parameters JOB|shared|rights/JOB [values.env] [Name=value…]"
_RETRY_SHARE = 0.8
_SHORTEST_RETRY, _LONGEST_RETRY = timedelta(minutes=1), timedelta(hours=1)
_FINE, _COARSE = timedelta(minutes=5), timedelta(hours=1)
_FINE_UP_TO = timedelta(hours=3)
_CLOUDWATCH_LOOKS_BACK = timedelta(days=7)
_LOOK_AT = timedelta(days=35)


def parameters(job: type[Job[Any]], secrets: Sequence[str]) -> dict[str, str]:
    """Derive the stack's parameters from the job and the ARNs of its task's secrets."""
    found = {"Job": job.name, "SecretArns": ",".join(dict.fromkeys(map(_whole, secrets)))}
    schedule = job.schedule
    if schedule is None:
        return found | {"ScheduledBy": "nobody"}
    expression = f"cron({schedule.expression})" if isinstance(schedule, Cron) else str(schedule)
    zone = schedule.zone if isinstance(schedule, Cron) else "UTC"
    retry = min(max(schedule.shortest * _RETRY_SHARE, _SHORTEST_RETRY), _LONGEST_RETRY)
    period, periods = _success(schedule, job.timeout)
    return found | {
        "Schedule": expression,
        "ScheduleZone": zone,
        "RetryAgeSeconds": str(int(retry.total_seconds())),
        "SuccessPeriod": str(int(period.total_seconds())),
        "SuccessPeriods": str(periods),
    }


def longest(schedule: Every | Cron) -> timedelta | None:
    """Give the longest time between two runs, as far as the next weeks tell; None where they have too few runs."""
    if isinstance(schedule, Every):
        return schedule.interval
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    gaps = []
    for hour in range(int(_LOOK_AT / timedelta(hours=1))):  # a gap of an hour or more has a full hour in it
        after = schedule.following(start + timedelta(hours=hour))
        before = schedule.previous(after) if after else None
        if after is None or before is None:
            return None
        gaps.append(after - before)
    return max(gaps)


def main(arguments: Sequence[str]) -> int:
    """Print them as JSON that every version of the AWS command line takes, and give 0; on faults, say all of them on stderr and give 2."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{_USAGE}\n\n{__doc__}")
        return 0 if arguments else 2
    try:
        found = _chosen(arguments[0], given.read(arguments[1:]))
    except Faults as error:
        sys.stderr.write("".join(f"{fault}\n" for fault in error.faults))
        return 2
    sys.stdout.write(json.dumps([f"{key}={value}" for key, value in found.items()], indent=2) + "\n")
    return 0


def _chosen(name: str, said: given.Given) -> dict[str, str]:
    values = said.every()
    if name in (rights := _with_rights()):
        return _rights(name, values)
    known, others = _known(SHARED), _known("job")
    found = _shared(values)
    if name != SHARED:
        job = registry.load(name)
        known, others = others, known
        definition = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
        found = parameters(job, _secrets(definition, values))
        if "RUN_TABLE" in values and "RUN_TABLE" in variables(definition):
            found["RunStoreTable"] = values["RUN_TABLE"]
    camel = {key: value for key, value in values.items() if not key.isupper()}
    faults = [
        f"{key}={value}: no stack has such a parameter; this one has {', '.join(known)}"
        for key, value in camel.items()
        if key not in {*known, *others, *(key for one in rights for key in _known(one))}
    ]
    found |= {key: value for key, value in camel.items() if key in known}
    if found.get("ScheduledBy") == "rule" and found["ScheduleZone"] != "UTC":
        faults.append(
            f"ScheduledBy=rule: a rule knows UTC alone, and {name} runs by {found['ScheduleZone']}: use scheduler"
        )
    if faults:
        raise Faults(faults)
    return found


def _with_rights() -> list[str]:
    """Name the templates of what single jobs may do."""
    return [f"rights/{file.stem}" for file in sorted(FOLDER.glob("rights/*.yaml"))]


def _rights(name: str, values: Mapping[str, str]) -> dict[str, str]:
    """Take each parameter from its own name, or from the variable of the task definition that is called like it."""
    keys = [key for key in _known(name) if key != "Shared"]
    found = {key: values.get(key) or values.get(_variable(key), "") for key in keys}
    if missing := [
        f"{key} of {name} has no value: add {_variable(key)}=…" for key, value in found.items() if not value
    ]:
        raise Faults(missing)
    return found | ({"Shared": values["Shared"]} if "Shared" in values else {})


def _variable(key: str) -> str:
    """Give the variable that a parameter is called like: `UPLOADS_BUCKET` of UploadsBucket."""
    return re.sub(r"\B(?=[A-Z])", "_", key).upper()


def _shared(values: Mapping[str, str]) -> dict[str, str]:
    """Derive what the shared stack is given from what jobs are given; the functions keep runs in PostgreSQL where there is one."""
    found = {key: values[name] for key, name in FROM_VARIABLES.items() if name in values}
    if "RUN_TABLE" in values and "DATABASE_URL_ARN" not in values:
        found["RunTable"] = values["RUN_TABLE"]
    return found | ({"Name": values["Shared"]} if "Shared" in values else {})


def _secrets(definition: str, values: Mapping[str, str]) -> list[str]:
    """Give the ARNs of all secrets that a task definition names, with its variables filled in."""
    containers = json.loads(definition)["containerDefinitions"]
    named = json.dumps({"arns": [secret["valueFrom"] for one in containers for secret in one.get("secrets", ())]})
    filled: list[str] = render(named, {name: values.get(name, "") for name in variables(named)})["arns"]
    return filled


def _known(template: str) -> list[str]:
    """Name a template's parameters."""
    text = (FOLDER / f"{template}.yaml").read_text(encoding="utf-8")
    section = re.split(r"^(?=\w)", text.partition("\nParameters:\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^  (\w+):$", section, re.MULTILINE)


def _whole(arn: str) -> str:
    """Give the secret's own ARN: IAM does not know the field, stage and version that ECS takes after it."""
    return ":".join(arn.split(":")[:7])


def _success(schedule: Every | Cron, timeout: timedelta) -> tuple[timedelta, int]:
    """Give a period of CloudWatch's, and in how many of them a run must have succeeded; 0 where it cannot look back so far."""
    gap = longest(schedule)
    if gap is None or gap + timeout + _COARSE > _CLOUDWATCH_LOOKS_BACK:
        return _COARSE, 0
    within = gap + timeout
    period = _FINE if within <= _FINE_UP_TO else _COARSE
    return period, math.ceil(within / period) + 1  # one more: runs and periods do not begin together


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
