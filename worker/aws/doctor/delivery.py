"""Find what becomes of a start or an event that a stack delivers: when it is made, how long it is tried, where it goes when it is given up."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from worker.aws.definition import WORKER
from worker.aws.doctor import codes
from worker.aws.doctor.clocks import interval
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.template import Resource, Template, either, mappings, says, texts
from worker.job import Job
from worker.schedule import Cron

LONGEST_OVERRIDES = 8_192
"""Characters of `overrides` that RunTask takes, JSON punctuation included."""

_SCHEDULED_TIME = {"AWS::Scheduler::Schedule": "<aws.scheduler.scheduled-time>", "AWS::Events::Rule": "$.time"}
_KEY_IN = re.compile(r'"(?:run_key"|name"\s*:\s*"RUN_KEY"\s*,\s*"value")\s*:\s*"([^"]*)"')
"""In a request to the launcher, or in an override; as text, for it is no JSON before its `<variables>` are filled in."""
_ONCE_OR_RATE = re.compile(r"rate\([1-9]\d* (minute|hour|day)s?\)|at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)")
_CRON = re.compile(r"cron\((.+)\)")
_SCOPE_IN = re.compile(r'"(?:scope|scope_ref|name"\s*:\s*"(?:JOB_\w+|SCOPE_REF))"')
_JOB_IN = re.compile(r'"job"\s*:\s*"([^"]+)"')


class Delivery(NamedTuple):
    """One target of a schedule or a rule."""

    resource: Resource
    target: Mapping[str, Any]
    path: str

    @property
    def scheduled(self) -> bool:
        """Tell whether time makes it, and not an event."""
        return "ScheduleExpression" in self.resource.properties

    @property
    def starts_a_job(self) -> bool:
        """Tell whether it starts a job, itself or through the launcher."""
        return "EcsParameters" in self.target or any(_JOB_IN.search(text) for text in self.inputs)

    @property
    def starts_the_whole(self) -> bool:
        """Tell whether it starts a job in its whole scope: what the job's own schedule is about."""
        return self.starts_a_job and not any(_SCOPE_IN.search(text) for text in self.inputs)

    @property
    def transformers(self) -> list[dict[str, Any]]:
        """Give what makes its input of the event."""
        return [one for one, _ in mappings(self.target.get("InputTransformer"))]

    @property
    def inputs(self) -> list[str]:
        """Give what the target is handed; as many as there are branches."""
        transformed = [one.get("InputTemplate", []) for one in self.transformers]
        handed = (self.target.get("Input", []), *transformed)
        return [text for node in handed for branch, _ in either(node) for text in islice(texts(branch), 1)]


def deliveries(template: Template) -> Iterator[Delivery]:
    """Find all targets of all schedules and rules."""
    for resource in template.of_type("AWS::Scheduler::Schedule", "AWS::Events::Rule"):
        name = "Target" if resource.type == "AWS::Scheduler::Schedule" else "Targets"
        for target, path in mappings(resource.properties.get(name), resource.place(name)):
            yield Delivery(resource, target, path)


def refused_schedules(template: Template) -> Iterator[Finding]:
    """Say which schedules EventBridge would not take, as far as they are known."""
    for resource in template.of_type(*_SCHEDULED_TIME):
        if refusal := _refusal(template, resource):
            path = resource.place("ScheduleExpression")
            yield codes.SCHEDULE_REFUSED.at(path, refusal, "ScheduleExpression: rate(1 hour), or cron(0 2 * * ? *)")


def _refusal(template: Template, resource: Resource) -> str | None:
    """Say why EventBridge would not take a schedule; None where it would, or where nobody knows yet."""
    said = template.text(resource.properties.get("ScheduleExpression"))
    zone = template.text(resource.properties.get("ScheduleExpressionTimezone", "UTC")) or "UTC"
    if said is None or "${" in said or _ONCE_OR_RATE.fullmatch(said):
        return None
    if (fields := _CRON.fullmatch(said)) is None:
        return f"is {said!r}, which is neither a rate nor a cron expression"
    try:
        Cron(fields[1], zone)
    except ValueError as error:
        return f"is {said!r}: {error}"
    return None


def undelivered(template: Template) -> Iterator[Finding]:
    """Say what is lost, comes late or is refused, whichever job it is for."""
    for delivery in deliveries(template):
        target, path = delivery.target, delivery.path
        if not says(target.get("RetryPolicy"), "MaximumEventAgeInSeconds"):
            line = "RetryPolicy: {MaximumEventAgeInSeconds: 240, MaximumRetryAttempts: 10}"
            yield codes.NO_RETRY_AGE.at(f"{path}.RetryPolicy", "MaximumEventAgeInSeconds is not said", line)
        if not says(target.get("DeadLetterConfig"), "Arn"):
            line = 'DeadLetterConfig: {Arn: {"Fn::ImportValue": !Sub "${Shared}-dead-letters"}}'
            yield codes.NO_DEAD_LETTERS.at(f"{path}.DeadLetterConfig", "there is none", line)
        if delivery.starts_a_job:
            yield from _run_key(delivery)
            yield from _overrides(delivery)


def _run_key(delivery: Delivery) -> Iterator[Finding]:
    if not delivery.scheduled:
        return
    time = _SCHEDULED_TIME[delivery.resource.type]
    paths = [one.get("InputPathsMap") or {} for one in delivery.transformers]
    known = {f"<{name}>" for each in paths for name, path in each.items() if path == time} | {time}
    keys = [_KEY_IN.findall(text) for text in delivery.inputs]
    if not keys or not all(some and all(any(one in key for one in known) for key in some) for some in keys):
        line = f'hand {time} over as RUN_KEY: {{"name": "RUN_KEY", "value": "{time if time.startswith("<") else "<time>"}"}}'
        yield codes.RUN_KEY_NOT_GIVEN.at(f"{delivery.path}.Input", f"{time} is not handed over as run key", line)


def _overrides(delivery: Delivery) -> Iterator[Finding]:
    for text in delivery.inputs:
        if len(text) > LONGEST_OVERRIDES:
            what = f"the overrides have {len(text):,} characters, {LONGEST_OVERRIDES:,} are allowed"
            line = "put the scope into an object of S3 and name that: SCOPE_REF"
            yield codes.OVERRIDE_TOO_LARGE.at(f"{delivery.path}.Input", what, line)
        for name in _overridden(text):
            if name != WORKER:
                what, line = f"containerOverrides names {name!r}", f'"name": "{WORKER}"'
                yield codes.OVERRIDE_FOR_NOBODY.at(f"{delivery.path}.Input", what, line)


def _overridden(text: str) -> list[Any]:
    try:
        overrides = json.loads(text).get("containerOverrides", [])
        return [override.get("name") for override in overrides]
    except (
        ValueError,
        AttributeError,
    ):  # it is no JSON before its `<variables>` are filled in, or a request to the launcher
        return []


def ill_timed(template: Template, job: type[Job[Any]]) -> Iterator[Finding]:
    """Say where a job's schedule in a stack is not what the job says, or its starts pile up."""
    for delivery in deliveries(template):
        standing = delivery.scheduled and template.stands(delivery.resource)
        if standing and delivery.starts_the_whole and job.name in _started(template, delivery):
            yield from _schedule(template, delivery.resource, job)
            yield from _retry_age(template, delivery, job)


def _started(template: Template, delivery: Delivery) -> set[str]:
    """Name what a delivery starts: by its task definition, by the request to the launcher, or by its own name."""
    found: set[str] = set()
    for parameters, _ in mappings(delivery.target.get("EcsParameters")):
        arn = template.text(parameters.get("TaskDefinitionArn")) or ""
        found.add(arn.rpartition("task-definition/")[2].partition(":")[0])
    for node, _ in either(delivery.target.get("Input", [])):
        found.update(_JOB_IN.findall(template.text(node) or ""))
    return found | {template.text(delivery.resource.properties.get("Name")) or ""}


def _schedule(template: Template, resource: Resource, job: type[Job[Any]]) -> Iterator[Finding]:
    expression = template.text(
        resource.properties["ScheduleExpression"], defaults=False
    )  # a default is nobody's schedule
    if expression is None or _refusal(template, resource):
        return
    zone = template.text(resource.properties.get("ScheduleExpressionTimezone", "UTC")) or "UTC"
    said = f"{expression} {zone}" if expression.startswith("cron") else expression
    wanted = str(job.schedule) if job.schedule else "none"
    if " ".join(said.split()) != wanted:
        line = f"ScheduleExpression: {wanted.rpartition(' ')[0] if wanted.startswith('cron') else wanted}, or correct the job's schedule"
        yield codes.SCHEDULE_DISAGREES.at(
            resource.place("ScheduleExpression"), f"is {said}, the job's schedule is {wanted}", line
        )


def _retry_age(template: Template, delivery: Delivery, job: type[Job[Any]]) -> Iterator[Finding]:
    apart = interval(job)
    if apart is None:
        return
    for policy, path in mappings(delivery.target.get("RetryPolicy"), f"{delivery.path}.RetryPolicy"):
        age = template.number(policy.get("MaximumEventAgeInSeconds"))
        if age is not None and age >= (seconds := apart.total_seconds()):
            what = f"is {age:g} s, and {job.schedule} comes every {seconds:g} s"
            line = f"MaximumEventAgeInSeconds: {max(60, int(seconds * 0.8))}"
            yield codes.RETRY_AGE_OVER_INTERVAL.at(f"{path}.MaximumEventAgeInSeconds", what, line)
