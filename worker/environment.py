"""Every environment variable that the worker reads, in one table, checked all at once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from worker.errors import Faults


class Variable(NamedTuple):
    """One variable: what it is for, and its default in words."""

    name: str
    purpose: str
    default: str = ""
    secret: bool = False


VARIABLES = (
    Variable(
        "DATABASE_URL",
        "PostgreSQL of the records and of the run store: postgresql://user:password@host:5432/name",
        secret=True,
    ),
    Variable("RUN_TABLE", "without DATABASE_URL: the DynamoDB table of the run store; AWS_REGION, credentials as boto"),
    Variable("REPLICA_URL", "a read replica to page from; commits go to DATABASE_URL", "none", secret=True),
    Variable("CONNECT_TIMEOUT", "seconds to wait for the database at start, then exit 75", "60"),
    Variable("DATABASE_BUDGET", "seconds that a run waits for a database that went away, then exit 75", "300"),
    Variable("LEASE", "seconds after which an attempt that is not heard of may be succeeded", "15"),
    Variable("RUN_KEY", "names the run: the scheduled time, or else 1 to 128 letters, digits and ._:+~-", "made up"),
    Variable(
        "SCOPE_REF", "where the scope's fields are instead, as JSON: s3://bucket/key; set by the launcher", "none"
    ),
    Variable(
        "TRIGGER", "what started the task, for logs and reports: scheduler, rule, s3, sqs, backlog, hand, …", "none"
    ),
    Variable("CORRELATION_ID", "one name for the launch in ECS (startedBy), the run store and all logs", "none"),
    Variable("SCHEDULED_TIME", "the time that the run was scheduled for, for logs and reports", "none"),
    Variable("STARTED_BY", "who asked for the run, for logs and reports", "none"),
    Variable("SHARD", "I/N: work on one of N parts of the run, from 1/N to N/N; the flag --shard wins"),
    Variable("JOB_<FIELD>", "a scope field of the job: JOB_MERCHANT_ID=42; flags win"),
    Variable("STOP_TIMEOUT", "seconds between SIGTERM and SIGKILL, at least 3: the container's stopTimeout", "30"),
    Variable("WORKER_RATE", "overrides the job's rate limit, calls a second; 0 for none"),
    Variable("WORKER_CONCURRENCY", "overrides the job's records in flight"),
    Variable("WORKER_PAGE_SIZE", "overrides the job's rows a page"),
    Variable("SLACK_WEBHOOK_URL", "where the summary goes", "no Slack message", secret=True),
    Variable("SLACK_BOT_TOKEN", "posts the summary as a bot instead, to SLACK_CHANNEL", secret=True),
    Variable("SLACK_CHANNEL", "the channel's id or #name, with SLACK_BOT_TOKEN"),
    Variable("SLACK_API_URL", "another address for Slack's Web API (tests, proxies)", "https://slack.com/api/"),
    Variable("DD_AGENT_HOST", "host of the Datadog Agent, UDP 8125", "no metrics"),
    Variable("DD_DOGSTATSD_URL", "udp://host:port or unix:///path of the agent instead"),
    Variable("DD_DOGSTATSD_SOCKET", "path of the agent's unix datagram socket instead"),
    Variable("DD_ENV", "the env tag"),
    Variable("DD_SERVICE", "the service tag", "the job's name"),
    Variable("DD_VERSION", "the version tag, and the version in logs and summary"),
    Variable("DD_TRACE_ENABLED", "true: a run is a trace in Datadog (the extra `traces`)", "false"),
    Variable(
        "DD_TRACE_AGENT_URL", "http://host:port or unix:///path of the agent that takes it", "DD_AGENT_HOST, port 8126"
    ),
    Variable(
        "TRACE_RECORDS", "the share of the records that are in the trace, 0 to 1; those that fail always are", "0.01"
    ),
    Variable("AWS_REGION", "the region of DynamoDB, S3 and SQS, and of log links; ECS sets it"),
    Variable("ECS_CONTAINER_METADATA_URI_V4", "set by ECS: where the task asks who it is"),
    Variable(
        "LOG_GROUP", "the CloudWatch log group that a log router writes to, for the link in the summary", "no link"
    ),
    Variable("LOG_STREAM_PREFIX", "what the log router's streams there begin with"),
    Variable("PROGRESS_EVERY", "seconds between two lines in the log that say how far the run is", "10"),
    Variable("LOG_LEVEL", "debug, info, warning or error", "info"),
    Variable("LOG_FORMAT", "json or text", "text on a terminal, json elsewhere"),
    Variable("LAUNCH_CLUSTER", "launch: the ECS cluster that tasks are started in"),
    Variable("LAUNCH_SUBNETS", "launch: the subnets of tasks, with commas between"),
    Variable("LAUNCH_SECURITY_GROUPS", "launch: the security groups of tasks, with commas between"),
    Variable("LAUNCH_MAX_TASKS", "launch: tasks that may live at once, of all jobs", "any number"),
    Variable(
        "LAUNCH_BUCKET", "launch: the S3 bucket of scopes that are too large, or too secret, for a task's overrides"
    ),
    Variable("LAUNCH_DEAD_LETTERS", "launch: URL of the SQS queue for events that start nothing, with the reason"),
    Variable("DD_API_KEY", "functions: the key for counts sent to Datadog over HTTP", "no counts", secret=True),
    Variable("DD_SITE", "functions: Datadog's site", "datadoghq.com"),
    Variable("DD_API_URL", "functions: another address for Datadog's API (tests, proxies)"),
    Variable("ALERTS_TOPIC", "functions: ARN of the SNS topic that hears of what failed"),
    Variable("AUDIT_SKIP", "auditor: jobs that need not run now, comma-separated: those whose schedule is disabled"),
    Variable(
        "ADMIN_TOKEN_HASHES",
        "serve: name=sha256;may=…;expires=… of each bearer token, comma-separated: what `token new` prints",
    ),
    Variable("CONSOLE_URL", "serve's public address: summaries and notices link the run's page in its console"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The environment, parsed: what is not set is None or its default."""

    database_url: str | None = None
    run_table: str | None = None
    replica_url: str | None = None
    connect_timeout_s: float = 60.0
    database_budget_s: float = 300.0
    lease_s: float = 15.0
    run_key: str | None = None
    scope_ref: str | None = None
    trigger: str | None = None
    correlation_id: str | None = None
    scheduled_time: str | None = None
    started_by: str | None = None
    shard: str | None = None
    stop_timeout_s: float = 30.0
    rate: float | None = None
    concurrency: int | None = None
    page_size: int | None = None
    slack_webhook_url: str | None = None
    slack_bot_token: str | None = None
    slack_channel: str | None = None
    slack_api_url: str | None = None
    dd_agent_host: str | None = None
    dd_dogstatsd_url: str | None = None
    dd_dogstatsd_socket: str | None = None
    dd_env: str | None = None
    dd_service: str | None = None
    dd_version: str | None = None
    trace_enabled: bool = False
    trace_agent_url: str | None = None
    trace_records: float = 0.01
    dd_api_key: str | None = None
    dd_site: str = "datadoghq.com"
    dd_api_url: str | None = None
    alerts_topic: str | None = None
    audit_skip: tuple[str, ...] = ()
    aws_region: str | None = None
    ecs_metadata_uri: str | None = None
    log_group: str | None = None
    log_stream_prefix: str | None = None
    progress_every_s: float = 10.0
    log_level: str = "info"
    log_format: str | None = None
    console_url: str | None = None
    launch_cluster: str | None = None
    launch_subnets: tuple[str, ...] = ()
    launch_security_groups: tuple[str, ...] = ()
    launch_max_tasks: int | None = None
    launch_bucket: str | None = None
    launch_dead_letters: str | None = None

    def run_page(self, run_id: str) -> dict[str, str]:
        """Link a run's page in the console, where there is one."""
        return (
            {"Run": f"{self.console_url.rstrip('/')}/console/#/runs/{quote(run_id, safe='')}"}
            if self.console_url
            else {}
        )


def settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Parse the environment; an empty variable counts as not set. Raises Faults naming every malformed one."""
    reader = _Reader(os.environ if environ is None else environ)
    parsed = Settings(
        database_url=reader.url("DATABASE_URL", "postgresql", "postgres"),
        run_table=reader.text("RUN_TABLE"),
        replica_url=reader.url("REPLICA_URL", "postgresql", "postgres"),
        connect_timeout_s=reader.number("CONNECT_TIMEOUT", 60.0, least=0),
        database_budget_s=reader.number("DATABASE_BUDGET", 300.0, least=0),
        lease_s=reader.number("LEASE", 15.0, least=1),
        run_key=reader.text("RUN_KEY"),
        scope_ref=reader.text("SCOPE_REF"),
        trigger=reader.text("TRIGGER"),
        correlation_id=reader.text("CORRELATION_ID"),
        scheduled_time=reader.text("SCHEDULED_TIME"),
        started_by=reader.text("STARTED_BY"),
        shard=reader.text("SHARD"),
        stop_timeout_s=reader.number("STOP_TIMEOUT", 30.0, least=3),
        rate=reader.optional("WORKER_RATE", least=0),
        concurrency=reader.whole("WORKER_CONCURRENCY", least=1),
        page_size=reader.whole("WORKER_PAGE_SIZE", least=1),
        slack_webhook_url=reader.url("SLACK_WEBHOOK_URL", "https", "http"),
        slack_bot_token=reader.text("SLACK_BOT_TOKEN"),
        slack_channel=reader.text("SLACK_CHANNEL"),
        slack_api_url=reader.url("SLACK_API_URL", "https", "http"),
        dd_agent_host=reader.text("DD_AGENT_HOST"),
        dd_dogstatsd_url=reader.url("DD_DOGSTATSD_URL", "udp", "unix"),
        dd_dogstatsd_socket=reader.text("DD_DOGSTATSD_SOCKET"),
        dd_env=reader.text("DD_ENV"),
        dd_service=reader.text("DD_SERVICE"),
        dd_version=reader.text("DD_VERSION"),
        trace_enabled=reader.choice("DD_TRACE_ENABLED", "false", "true", "1", "false", "0") in ("true", "1"),
        trace_agent_url=reader.url("DD_TRACE_AGENT_URL", "http", "https", "unix"),
        trace_records=reader.number("TRACE_RECORDS", 0.01, least=0),
        dd_api_key=reader.text("DD_API_KEY"),
        dd_site=reader.text("DD_SITE") or "datadoghq.com",
        dd_api_url=reader.url("DD_API_URL", "https", "http"),
        alerts_topic=reader.text("ALERTS_TOPIC"),
        audit_skip=tuple(filter(None, map(str.strip, (reader.text("AUDIT_SKIP") or "").split(",")))),
        aws_region=reader.text("AWS_REGION"),
        ecs_metadata_uri=reader.text("ECS_CONTAINER_METADATA_URI_V4"),
        log_group=reader.text("LOG_GROUP"),
        log_stream_prefix=reader.text("LOG_STREAM_PREFIX"),
        progress_every_s=reader.number("PROGRESS_EVERY", 10.0, least=0.5),
        log_level=reader.choice("LOG_LEVEL", "info", "debug", "info", "warning", "error"),
        log_format=reader.choice("LOG_FORMAT", "", "json", "text") or None,
        console_url=reader.url("CONSOLE_URL", "https", "http"),
        launch_cluster=reader.text("LAUNCH_CLUSTER"),
        launch_subnets=reader.list("LAUNCH_SUBNETS"),
        launch_security_groups=reader.list("LAUNCH_SECURITY_GROUPS"),
        launch_max_tasks=reader.whole("LAUNCH_MAX_TASKS", least=1),
        launch_bucket=reader.text("LAUNCH_BUCKET"),
        launch_dead_letters=reader.url("LAUNCH_DEAD_LETTERS", "https", "http"),
    )
    if parsed.slack_bot_token and not parsed.slack_channel:
        reader.faults.append("SLACK_BOT_TOKEN is set but SLACK_CHANNEL is not: say which channel gets the summary")
    if reader.faults:
        raise Faults(reader.faults)
    return parsed


class _Reader:
    """Read variables one by one and collect what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.faults: list[str] = []

    def text(self, name: str) -> str | None:
        return self._environ.get(name) or None

    def list(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in (self.text(name) or "").split(",") if part.strip())

    def url(self, name: str, *schemes: str) -> str | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            scheme = urlsplit(value).scheme
            _ = urlsplit(value).port
        except ValueError:
            scheme = ""
        if scheme not in schemes:
            expected = " or ".join(f"{known}://…" for known in schemes)
            self.faults.append(f"{name} is not a URL of the form {expected} (its value is not shown)")
            return None
        return value

    def number(self, name: str, default: float, *, least: float) -> float:
        value = self.optional(name, least=least)
        return default if value is None else value

    def optional(self, name: str, *, least: float) -> float | None:
        value = self.text(name)
        if value is None:
            return None
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not least <= number < float("inf"):
            self.faults.append(f"{name}={value!r} is not a number of {least:g} or more")
            return None
        return number

    def whole(self, name: str, *, least: int) -> int | None:
        value = self.text(name)
        if value is None:
            return None
        if not value.isdecimal() or int(value) < least:
            self.faults.append(f"{name}={value!r} is not a whole number of {least} or more")
            return None
        return int(value)

    def choice(self, name: str, default: str, *known: str) -> str:
        value = (self.text(name) or default).lower()
        if value and value not in known:
            self.faults.append(f"{name}={value!r} is not one of {', '.join(known)}")
        return value
