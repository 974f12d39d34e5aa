"""Our own jobs, task definitions and stacks, and the faults that are planted in copies of them."""

import copy
import json
from collections.abc import Callable, Iterator
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
from worker.schedule import Cron

JOB = "poll-payments"
FOLDER = ROOT / "task-definitions"
STACKS = {str(path.relative_to(FOLDER)): path.read_text(encoding="utf-8") for path in sorted(FOLDER.rglob("*.yaml"))}


@cache
def parsed(name: str, text: str) -> Template:
    """Parse a stack, once."""
    return read(f"task-definitions/{name}", text)


@dataclass
class Copy:
    """All that the doctor reads, to be changed at will."""

    jobs: dict[str, type[Job[Any]] | Faults] = field(default_factory=lambda: {n: registry.load(n) for n in FILES})
    definitions: dict[str, str] = field(default_factory=lambda: {n: path.read_text() for n, path in FILES.items()})
    stacks: list[Template] = field(default_factory=lambda: [parsed(name, text) for name, text in STACKS.items()])
    values: dict[str, str] | None = None
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        """Give it as the doctor takes it."""
        return Project(
            jobs=self.jobs, definitions=self.definitions, stacks=self.stacks, values=self.values, environ=self.environ
        )

    def only(self) -> None:
        """Leave one job, with a value for each of its variables."""
        self.jobs, self.definitions = {JOB: self.jobs[JOB]}, {JOB: self.definitions[JOB]}
        self.values = values(self.definitions[JOB])


Change = Callable[[Copy], Any]


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


def within(kind: str, key: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    """Change what holds this key in the stacks, within the first resource of a kind that has it."""

    def plant(ours: Copy) -> None:
        ours.stacks = copy.deepcopy(ours.stacks)
        resources = [resource.properties for stack in ours.stacks for resource in stack.of_type(kind)]
        change(next(node for node in nodes(resources) if key in node))

    return plant


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Give every mapping in a document, the outer ones first."""
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(inner)


def without(kind: str, key: str) -> Change:
    """Take away what a resource of the stacks says there."""
    return within(kind, key, lambda node: node.pop(key))


def with_(kind: str, key: str, value: Any) -> Change:
    """Have a resource of the stacks say something else there."""
    return within(kind, key, lambda node: node.update({key: value}))


def another(text: str) -> Change:
    """Add a stack with this resource."""
    return lambda ours: ours.stacks.append(parsed("extra.yaml", f"Resources:\n{text}"))


def given(**more: str) -> Change:
    """Give values for one job's variables and for parameters of the stacks; an empty one is none."""

    def plant(ours: Copy) -> None:
        ours.only()
        ours.values = {**(ours.values or {}), **more}

    return plant


def both(one: Change, other: Change) -> Change:
    """Make two changes that are one fault."""
    return lambda ours: (one(ours), other(ours))


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
      DefinitionString: !Sub |
        {"StartAt": "Run", "States": {"Run": {"Type": "Task", "End": true,
          "Resource": "arn:${AWS::Partition}:states:::ecs:runTask.sync", "Parameters": {"Cluster": "${Cluster}"}}}}
"""
SCHEDULED = """
  Payments:
    Type: AWS::Scheduler::Schedule
    Properties:
      ScheduleExpression: rate(1 hour)
      Target:
        Arn: !GetAtt Launcher.Arn
        Input: '{"job": "poll-payments", "run_key": "<aws.scheduler.scheduled-time>"}'
        RetryPolicy: {MaximumEventAgeInSeconds: 120}
        DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}
"""
_BLIND = """
  Stopped:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: {source: [aws.ecs], detail: {containers: {exitCode: [{anything-but: 0}]}}}
"""
_ALL_BUT_ONE = """
  Rights:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument: {Statement: [{Effect: Allow, Action: "s3:GetObject", NotResource: "arn:aws:s3:::theirs/*"}]}
"""
_OPEN_QUEUE = """
  Everybody:
    Type: AWS::SQS::QueuePolicy
    Properties:
      PolicyDocument: {Statement: [{Effect: Allow, Principal: "*", Action: "sqs:SendMessage", Resource: !GetAtt DeadLetters.Arn}]}
"""
_SCHEDULE, _ROLE = "AWS::Scheduler::Schedule", "AWS::IAM::Role"
_ALARM, _FUNCTION = "AWS::CloudWatch::Alarm", "AWS::Lambda::Function"


def started_with(name: str = WORKER, key: str = "<aws.scheduler.scheduled-time>", more: str = "") -> Change:
    """Have the schedule start a task with these overrides."""
    overrides = {"name": name, "environment": [{"name": "RUN_KEY", "value": key}, {"name": "JOB_IDS", "value": more}]}
    return with_(_SCHEDULE, "Input", json.dumps({"containerOverrides": [overrides]}))


_TO_ECS = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}


def allowed(**statement: Any) -> Change:
    """Allow a role something else."""
    return within(_ROLE, "Resource", lambda node: node.update({"Resource": "arn:aws:s3:::ours/key", **statement}))


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
    ("port", definition(lambda d: container(d, "datadog-agent").update(portMappings=[{"containerPort": 99_999}]))),
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
    ("stop-timeout", definition(lambda d: container(d, "datadog-agent").update(stopTimeout=600))),
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
    ("log-link", put("LOG_GROUP", "/ecs/other")),
    ("log-link", drop("environment", "LOG_STREAM_PREFIX")),
    (
        "log-router-grace",
        definition(lambda d: container(d, "log_router")["firelensConfiguration"]["options"].pop("config-file-value")),
    ),
    ("log-router-grace", definition(lambda d: container(d, "log_router").pop("stopTimeout"))),
    ("agent-not-fargate", drop("environment", "ECS_FARGATE", "datadog-agent")),
    ("agent-drops-last", put("DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS", "false", "datadog-agent")),
    ("agent-cut-off", put("DD_FORWARDER_STOP_TIMEOUT", "30", "datadog-agent")),
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
    ("retry-age-over-interval", given(RetryAgeSeconds="300")),
    ("retry-age-over-interval", given(ScheduledBy="rule", RetryAgeSeconds="300")),
    ("retry-age-over-interval", with_(_SCHEDULE, "MaximumEventAgeInSeconds", 400)),
    ("no-retry-age", without(_SCHEDULE, "MaximumEventAgeInSeconds")),
    ("no-retry-age", without("AWS::Events::Rule", "RetryPolicy")),
    ("no-dead-letters", without(_SCHEDULE, "DeadLetterConfig")),
    ("schedule-disagrees", given(Schedule="rate(10 minutes)")),
    ("schedule-disagrees", given(Schedule="cron(0 2 * * ? *)", ScheduleZone="Europe/Berlin")),
    ("schedule-disagrees", both(given(ScheduledBy="rule"), job(schedule=Cron("0 12 * * ? *", zone="Europe/Berlin")))),
    ("schedule-disagrees", another(SCHEDULED)),
    ("schedule-refused", with_(_SCHEDULE, "ScheduleExpression", "every hour")),
    ("schedule-refused", with_(_SCHEDULE, "ScheduleExpression", "cron(0 25 * * ? *)")),
    ("run-key-not-given", started_with(key="<aws.scheduler.execution-id>")),
    ("run-key-not-given", started_with(key="nightly")),
    ("override-too-large", started_with(more="x" * 8_192)),
    ("override-for-nobody", started_with(name="app")),
    ("wildcard-action", allowed(Action="ecs:*")),
    ("wildcard-action", allowed(Action=["s3:GetObject", "s3:Put*"])),
    ("wildcard-action", with_(_ROLE, "ManagedPolicyArns", ["arn:aws:iam::aws:policy/AmazonS3FullAccess"])),
    ("wildcard-resource", allowed(Action="s3:GetObject", Resource="*")),
    ("wildcard-resource", allowed(Action="iam:PassRole", Resource="*", Condition=_TO_ECS)),
    ("open-trust", within(_ROLE, "Principal", lambda statement: statement.update(Principal="*"))),
    ("open-trust", within(_ROLE, "Principal", lambda statement: statement.update(Principal={"AWS": ["*"]}))),
    ("wildcard-resource", another(_ALL_BUT_ONE)),
    ("wildcard-resource", allowed(Action="s3:GetObject", Resource="arn:aws:s3:::*/*")),
    ("open-trust", another(_OPEN_QUEUE)),
    (
        "open-trust",
        within(_ROLE, "Principal", lambda statement: statement.update(NotPrincipal=statement.pop("Principal"))),
    ),
    ("alarm-tells-nobody", within(_ALARM, "OKActions", lambda alarm: alarm.pop("AlarmActions"))),
    (
        "wildcard-resource",
        allowed(Action="ssm:GetParameters", Resource={"Fn::Sub": "arn:aws:ssm:${AWS::Region}:1:parameter/*"}),
    ),
    ("blind-rule", another(_BLIND)),
    ("logs-for-ever", without("AWS::Logs::LogGroup", "RetentionInDays")),
    ("silence-is-success", within(_ALARM, "OKActions", lambda alarm: alarm.pop("TreatMissingData"))),
    (
        "alarm-too-eager",
        both(given(), within(_ALARM, "OKActions", lambda alarm: alarm.update(Period=60, EvaluationPeriods=3))),
    ),
    ("public-address", with_(_SCHEDULE, "AssignPublicIp", "ENABLED")),
    ("waits-for-ever", another(_STATE_MACHINE)),
    ("function-timeout", without(_FUNCTION, "Timeout")),
    ("event-lost", without("AWS::Lambda::EventInvokeConfig", "OnFailure")),
    ("secret-in-plain", within(_FUNCTION, "LOG_FORMAT", lambda variables: variables.update(DD_API_KEY="abc"))),
    ("setting-refused", lambda ours: ours.environ.update(STOP_TIMEOUT="long")),
    ("unknown-variable", lambda ours: ours.environ.update(WORKER_RATES="9")),
]
"""What surrounds a job: the stacks, and the environment."""

PLANTED = [*DEFINITION, *FIT, *JOBS, *AROUND]
ELSEWHERE = {"no-transaction", "run-store", "cursor-misfits"}
"""Codes that tests of their own plant."""
