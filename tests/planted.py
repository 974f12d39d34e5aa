"""Our own jobs, task definitions and stacks, and the faults that are planted in copies of them."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

from definitions import FILES, ROOT, container, values

from worker import registry
from worker.aws.definition import WORKER
from worker.aws.doctor.examination import Project
from worker.aws.doctor.template import Template, read
from worker.budget import ErrorBudget
from worker.errors import Faults
from worker.job import Job
from worker.limits import Limits, Rate
from worker.retry import Retry
from worker.schedule import Cron, Every

JOB = "poll-payments"
STACKS = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "task-definitions").glob("*.yaml"))}


@dataclass
class Copy:
    """All that the doctor reads, to be changed at will."""

    jobs: dict[str, type[Job[Any]] | Faults] = field(default_factory=lambda: {n: registry.load(n) for n in FILES})
    definitions: dict[str, str] = field(default_factory=lambda: {n: path.read_text() for n, path in FILES.items()})
    stacks: dict[str, str] = field(default_factory=lambda: dict(STACKS))
    values: dict[str, str] | None = None
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        """Give it as the doctor takes it."""
        stacks = tuple(parsed(name, text) for name, text in self.stacks.items())
        return Project(
            jobs=self.jobs, definitions=self.definitions, stacks=stacks, values=self.values, environ=self.environ
        )

    def only(self) -> None:
        """Leave one job, with a value for each of its variables."""
        self.jobs, self.definitions = {JOB: self.jobs[JOB]}, {JOB: self.definitions[JOB]}
        self.values = values(self.definitions[JOB])


Change = Callable[[Copy], Any]


@cache
def parsed(name: str, text: str) -> Template:
    """Parse a stack, once."""
    return read(f"task-definitions/{name}", text)


def definition(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change the task definition."""

    def plant(ours: Copy) -> None:
        document = json.loads(ours.definitions[JOB])
        change(document)
        ours.definitions[JOB] = json.dumps(document)

    return plant


def job(**changes: Any) -> Change:
    """Change what the job declares."""

    def plant(ours: Copy) -> None:
        ours.jobs[JOB] = type("PollPayments", (registry.load(JOB),), changes)

    return plant


def stack(name: str, was: str, now: str) -> Change:
    """Change the text of a stack, where it says so first."""

    def plant(ours: Copy) -> None:
        assert was in ours.stacks[name], f"{name} no longer says {was!r}"
        ours.stacks[name] = ours.stacks[name].replace(was, now, 1)

    return plant


def given(**more: str) -> Change:
    """Give values for one job's variables and for parameters of the stacks; an empty one is none."""

    def plant(ours: Copy) -> None:
        ours.only()
        ours.values = {**(ours.values or {}), **more}

    return plant


def resource(name: str, text: str) -> Change:
    """Add a resource to a stack."""
    return stack(name, "\nOutputs:\n", f"\n{text}\nOutputs:\n")


def worker(**changes: Any) -> Change:
    """Change the worker's container."""
    return definition(lambda d: container(d, WORKER).update(changes))


def put(name: str, value: str, where: str = WORKER) -> Change:
    """Set a plain variable of a container."""

    def change(document: dict[str, Any]) -> None:
        one = container(document, where)
        kept = [pair for pair in one["environment"] if pair["name"] != name]
        one["environment"] = [*kept, {"name": name, "value": value}]

    return definition(change)


def drop(what: str, name: str, where: str = WORKER) -> Change:
    """Take an entry of a container's environment or secrets away."""

    def change(document: dict[str, Any]) -> None:
        one = container(document, where)
        one[what] = [pair for pair in one[what] if pair["name"] != name]

    return definition(change)


def option(name: str, value: str | None, where: str = WORKER) -> Change:
    """Set a container's log option, or take it away."""

    def change(document: dict[str, Any]) -> None:
        options = container(document, where)["logConfiguration"]["options"]
        options.pop(name, None)
        if value is not None:
            options[name] = value

    return definition(change)


def without_timeout(ours: Copy) -> None:
    """Have a job that is scheduled often say no timeout."""
    declared = {name: value for name, value in vars(registry.load(JOB)).items() if name not in ("timeout", "__dict__")}
    ours.jobs[JOB] = type("PollPayments", (Job,), declared)


_STATE_MACHINE = """
  Pipeline:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: !GetAtt Role.Arn
      DefinitionString: !Sub |
        {"StartAt": "Run", "States": {"Run": {"Type": "Task", "End": true,
          "Resource": "arn:${AWS::Partition}:states:::ecs:runTask.sync", "Parameters": {"Cluster": "${Cluster}"}}}}
"""
_SCHEDULE = """
  Payments:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: rate(1 hour)
      FlexibleTimeWindow: {Mode: "OFF"}
      Target:
        Arn: !GetAtt Cluster.Arn
        RoleArn: arn:aws:iam::123456789012:role/start
        Input: '{"job": "poll-payments", "run_key": "<aws.scheduler.scheduled-time>"}'
        RetryPolicy: {MaximumEventAgeInSeconds: 120}
        DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}
"""
_SIDECAR = "RetryPolicy: {MaximumEventAgeInSeconds: !Ref RetryAgeSeconds, MaximumRetryAttempts: 10}\n"
_DEAD = 'DeadLetterConfig: {Arn: {"Fn::ImportValue": !Sub "${Shared}-dead-letters"}}\n'
_SCHEDULED = "<aws.scheduler.scheduled-time>"
_ONE = 'Action: "ecs:RunTask"\n'

DEFINITION: list[tuple[str, Change]] = [
    ("malformed", worker(memory="512")),
    ("malformed", lambda ours: ours.definitions.update({JOB: "{"})),
    ("container-names", worker(name="main")),
    (
        "container-names",
        definition(lambda d: d["containerDefinitions"].append(copy.deepcopy(container(d, "log_router")))),
    ),
    ("not-fargate", definition(lambda d: d.update(networkMode="bridge"))),
    ("not-fargate", definition(lambda d: d.pop("requiresCompatibilities"))),
    ("no-platform", definition(lambda d: d.pop("runtimePlatform"))),
    ("size-not-offered", definition(lambda d: d.update(memory="9999"))),
    ("size-not-offered", definition(lambda d: d.update(cpu="300"))),
    ("size-not-offered", definition(lambda d: d.update(cpu="much"))),
    ("memory-all-taken", worker(memory=768)),
    ("one-role", definition(lambda d: d.update(taskRoleArn=d["executionRoleArn"]))),
    ("one-role", definition(lambda d: d.pop("taskRoleArn"))),
    ("moving-image", definition(lambda d: container(d, "datadog-agent").update(image="datadog/agent:latest"))),
    ("moving-image", worker(image="localhost:5000/worker")),
    ("moving-image", given(IMAGE="worker")),
    ("worker-not-essential", worker(essential=False)),
    ("essential-sidecar", definition(lambda d: container(d, "datadog-agent").pop("essential"))),
    (
        "depends-on-nobody",
        definition(
            lambda d: container(d, WORKER)["dependsOn"].append({"containerName": "vault", "condition": "START"})
        ),
    ),
    ("depends-on-missing", definition(lambda d: container(d, WORKER)["dependsOn"].pop())),
    ("depends-on-health", definition(lambda d: container(d, WORKER)["dependsOn"][0].update(condition="HEALTHY"))),
    ("stop-timeout", worker(stopTimeout=600)),
    ("stop-timeout", definition(lambda d: container(d, WORKER).pop("stopTimeout"))),
    ("stop-timeout-untold", put("STOP_TIMEOUT", "30")),
    ("stop-timeout-untold", drop("environment", "STOP_TIMEOUT")),
    ("writable-root", definition(lambda d: container(d, WORKER).pop("readonlyRootFilesystem"))),
    ("no-init", definition(lambda d: container(d, WORKER).pop("linuxParameters"))),
    ("secret-in-plain", put("DATABASE_URL", "postgresql://db/app")),
    ("secret-in-plain", put("DD_API_KEY", "x", "datadog-agent")),
    ("secret-in-plain", put("STRIPE_API_BASE", "sk_live_abcdefgh12345678")),
    ("secret-in-plain", put("STRIPE_API_KEY", "${STRIPE_API_KEY}")),
    (
        "secret-without-arn",
        definition(lambda d: container(d, WORKER)["secrets"][0].update(valueFrom="postgres://u:p@h/d")),
    ),
    ("log-driver", definition(lambda d: container(d, "log_router").pop("logConfiguration"))),
    ("log-mode", option("mode", None, "datadog-agent")),
    ("log-buffer", option("max-buffer-size", None, "datadog-agent")),
    ("log-buffer", option("log-driver-buffer-limit", None)),
    ("log-mode-of-router", option("mode", "non-blocking")),
    ("no-log-router", definition(lambda d: container(d, "log_router").pop("firelensConfiguration"))),
    (
        "log-router-grace",
        definition(lambda d: container(d, "log_router")["firelensConfiguration"]["options"].pop("config-file-value")),
    ),
    ("agent-not-fargate", drop("environment", "ECS_FARGATE", "datadog-agent")),
    ("agent-drops-last", put("DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS", "false", "datadog-agent")),
    ("variable-without-value", given(DD_ENV="")),
]
"""What is wrong with a task definition by itself."""

FIT: list[tuple[str, Change]] = [
    ("no-definition", lambda ours: ours.definitions.pop(JOB)),
    ("no-job", lambda ours: ours.jobs.pop(JOB)),
    ("name-disagrees", definition(lambda d: d.update(family="poll_payments"))),
    ("name-disagrees", worker(command=["poll-payment"])),
    ("name-disagrees", put("DD_SERVICE", "payments")),
    ("secret-not-given", drop("secrets", "STRIPE_API_KEY")),
    ("secret-in-plain", job(secrets=("STRIPE_API_KEY", "STRIPE_API_BASE"))),
    ("variable-not-given", job(environment={"STRIPE_API_BASE": None, "SHOP": None})),
    ("unknown-variable", put("WORKER_RAET", "90")),
    ("unknown-variable", put("JOB_MERCHANT", "90")),
    ("setting-refused", put("WORKER_RATE", "fast")),
    ("setting-refused", put("WORKER_RATE", "0.05")),
    ("no-run-store", drop("secrets", "DATABASE_URL")),
    ("log-group-elsewhere", option("awslogs-group", "/ecs/all", "datadog-agent")),
    ("record-outlives-stop", job(limits=Limits(record_timeout=90))),
]
"""Where a job and its task definition disagree."""

JOBS: list[tuple[str, Change]] = [
    ("broken-job", lambda ours: ours.jobs.update({JOB: Faults(["process is missing"])})),
    ("missing-timeout", without_timeout),
    ("timeout-over-interval", job(timeout=timedelta(minutes=21))),
    ("record-outlives-run", job(limits=Limits(record_timeout=50), timeout=timedelta(seconds=40))),
    ("retries-outlive-run", job(retry=Retry(attempts=10, first=100, longest=400))),
    ("page-outlives-age", job(limits=Limits(rate=Rate(90), page_size=2_000, max_age=30))),
    ("tolerates-all", job(errors=ErrorBudget(tolerated=1))),
    ("no-error-budget", job(errors=ErrorBudget(share=None))),
    ("secret-in-job", job(environment={"STRIPE_API_BASE": "https://api.stripe.com", "MAIL_TOKEN": "abc"})),
    ("dst-hazard", job(schedule=Cron("30 2 * * ? *", zone="Europe/Berlin"))),
    ("dst-hazard", job(schedule=Cron("15 1 * * ? *", zone="America/New_York"))),
    ("never-due", job(schedule=Cron("0 2 * * ? 2020"))),
]
"""What a job declares."""

AROUND: list[tuple[str, Change]] = [
    ("retry-age-over-interval", stack("job.yaml", "Default: 240", "Default: 300")),
    ("retry-age-over-interval", job(schedule=Every(minutes=4), timeout=timedelta(minutes=4))),
    ("no-retry-age", stack("job.yaml", _SIDECAR, "\n")),
    ("no-dead-letters", stack("job.yaml", _DEAD, "\n")),
    ("schedule-disagrees", given(Schedule="rate(10 minutes)")),
    ("schedule-disagrees", given(Schedule="cron(0 2 * * ? *)", ScheduleZone="Europe/Berlin")),
    ("schedule-disagrees", resource("shared.yaml", _SCHEDULE)),
    ("run-key-not-given", stack("job.yaml", _SCHEDULED, "<aws.scheduler.execution-id>")),
    ("override-too-large", stack("job.yaml", _SCHEDULED, _SCHEDULED + "x" * 8_192)),
    ("override-for-nobody", stack("job.yaml", '"name": "worker"', '"name": "app"')),
    ("wildcard-action", stack("job.yaml", _ONE, 'Action: "ecs:*"\n')),
    ("wildcard-action", stack("job.yaml", "[!Ref TaskPolicyArn]", '["arn:aws:iam::aws:policy/AmazonS3FullAccess"]')),
    ("wildcard-resource", stack("job.yaml", "Resource: !Ref SecretArns", 'Resource: "*"')),
    (
        "wildcard-resource",
        stack("job.yaml", "Resource: !Ref SecretArns", 'Resource: !Sub "arn:aws:ssm:${AWS::Region}:1:parameter/*"'),
    ),
    ("blind-rule", stack("job.yaml", "- containers: {name: [worker], exitCode: [{exists: false}]}\n", "\n")),
    ("logs-for-ever", stack("job.yaml", "RetentionInDays: !Ref LogRetentionDays\n", "\n")),
    ("silence-is-success", stack("job.yaml", "TreatMissingData: breaching", "TreatMissingData: missing")),
    ("alarm-too-eager", job(schedule=Cron("0 2 ? * MON *"))),
    ("public-address", stack("job.yaml", "AssignPublicIp: DISABLED", "AssignPublicIp: ENABLED")),
    ("waits-for-ever", resource("shared.yaml", _STATE_MACHINE)),
    ("setting-refused", lambda ours: ours.environ.update(STOP_TIMEOUT="long")),
    ("unknown-variable", lambda ours: ours.environ.update(WORKER_RATES="9")),
]
"""What surrounds a job: the stacks, and the environment."""

PLANTED = [*DEFINITION, *FIT, *JOBS, *AROUND]
ELSEWHERE = {"no-transaction", "run-store", "cursor-misfits"}
"""Codes that tests of their own plant."""
