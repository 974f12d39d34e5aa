"""Print the parameters of a job's stack: its schedule and all that follows from it, and the secrets that its task reads.

::

    python -m worker.aws.stack_parameters poll-payments production.env StartBy=launcher

`aws cloudformation deploy` takes them by `--parameter-overrides file://…`.
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

_USAGE = "usage: python -m worker.aws.stack_parameters JOB [values.env] [Name=value…]"
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
    """Print them as CloudFormation's JSON and give 0; on faults, say all of them on stderr and give 2."""
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{_USAGE}\n\n{__doc__}")
        return 0 if arguments else 2
    try:
        found = _chosen(arguments[0], given.read(arguments[1:]))
    except Faults as error:
        sys.stderr.write("".join(f"{fault}\n" for fault in error.faults))
        return 2
    sys.stdout.write(
        json.dumps([{"ParameterKey": key, "ParameterValue": value} for key, value in found.items()], indent=2)
    )
    sys.stdout.write("\n")
    return 0


def _chosen(name: str, said: given.Given) -> dict[str, str]:
    job = registry.load(name)
    found = parameters(job, _secrets(FOLDER / f"{name}.json", said.every()))
    known, faults = _known(FOLDER / "job.yaml"), []
    for key, value in said.every().items():
        if key in known:
            found[key] = value
        elif not key.isupper():
            faults.append(f"{key}={value}: the job's stack has no such parameter; it has {', '.join(known)}")
    if found.get("ScheduledBy") == "rule" and found["ScheduleZone"] != "UTC":
        faults.append(
            f"ScheduledBy=rule: a rule knows UTC alone, and {name} runs by {found['ScheduleZone']}: use scheduler"
        )
    if faults:
        raise Faults(faults)
    return found


def _secrets(definition: Path, values: Mapping[str, str]) -> list[str]:
    """Give the ARNs of all secrets that a task definition names, with its variables filled in."""
    containers = json.loads(definition.read_text(encoding="utf-8"))["containerDefinitions"]
    named = json.dumps({"arns": [secret["valueFrom"] for one in containers for secret in one.get("secrets", ())]})
    filled: list[str] = render(named, {name: values.get(name, "") for name in variables(named)})["arns"]
    return filled


def _known(template: Path) -> list[str]:
    """Name a template's parameters."""
    section = template.read_text(encoding="utf-8").partition("\nParameters:\n")[2].partition("\nConditions:\n")[0]
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
