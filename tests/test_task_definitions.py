"""Every job has a task definition that fits it, that ECS takes, and that survives the night."""

import copy
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from definitions import FILES, ROOT, container, filled
from moto import mock_aws

from worker import Job
from worker.aws.definition_faults import FARGATE_SIZES, WORKER, environment_of, faults, worker_of
from worker.environment import VARIABLES

Plant = Callable[[dict[str, Any]], Any]

JOBS = sorted(file.stem.replace("_", "-") for file in (ROOT / "jobs").glob("*.py") if not file.name.startswith("_"))


def job_class(name: str) -> type[Job[Any]]:
    """Find the job that a file of `jobs/` defines."""
    module = importlib.import_module(f"jobs.{name.replace('-', '_')}")
    found: type[Job[Any]] = next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Job) and value.__module__ == module.__name__
    )
    return found


def misfits(definition: dict[str, Any], name: str, job: type[Job[Any]]) -> Iterator[str]:
    """Say where a task definition and its job disagree."""
    worker = worker_of(definition)
    plain = environment_of(worker)
    secret = {each["name"] for each in worker["secrets"]}
    if definition["family"] != name or worker["command"] != [name] or plain.get("DD_SERVICE") != name:
        yield "one job, one name: family, command and DD_SERVICE"
    store = set() if "RUN_TABLE" in plain else {"DATABASE_URL"}
    yield from (f"secret {wanted}" for wanted in sorted({*store, *job.secrets} - secret))
    yield from (
        f"environment {key}" for key, default in job.environment.items() if default is None and key not in plain
    )
    known = {variable.name for variable in VARIABLES} | {*job.secrets, *job.environment}
    yield from (f"unknown {key}" for key in sorted({*plain, *secret} - known))


def test_task_definitions_and_jobs_pair_up() -> None:
    """Every job has a task definition, and every task definition a job."""
    assert list(FILES) == JOBS


@pytest.mark.parametrize("name", FILES)
def test_task_definitions_have_no_fault(name: str) -> None:
    """What this repository ships passes its own checks."""
    assert faults(filled(name)) == []


@pytest.mark.parametrize("name", FILES)
def test_task_definitions_fit_their_job(name: str) -> None:
    """Name, secrets and environment are those that the job declares."""
    assert list(misfits(filled(name), name, job_class(name))) == []


@pytest.mark.parametrize("name", FILES)
def test_task_definitions_log_where_their_name_says(name: str) -> None:
    """All containers of a job write to its own log group."""
    groups = {
        options.get("awslogs-group") or options.get("log_group_name")
        for options in (each["logConfiguration"]["options"] for each in filled(name)["containerDefinitions"])
    }
    assert groups == {f"/ecs/{name}"}


@pytest.mark.parametrize("name", FILES)
def test_task_definitions_take_metrics_and_traces(name: str) -> None:
    """The agent listens where the worker sends, for both, and may flush longer than its 2 + 2 s."""
    agent = environment_of(container(filled(name), "datadog-agent"))
    assert environment_of(worker_of(filled(name)))["DD_AGENT_HOST"] == "127.0.0.1"
    assert (agent["DD_DOGSTATSD_PORT"], agent["DD_APM_RECEIVER_PORT"]) == ("8125", "8126")
    assert agent["DD_APM_ENABLED"] == "true"
    assert float(agent["DD_AGGREGATOR_STOP_TIMEOUT"]) + float(agent["DD_FORWARDER_STOP_TIMEOUT"]) > 4


@pytest.mark.parametrize("name", FILES)
def test_task_definitions_bound_what_logs_may_take(name: str) -> None:
    """The router flushes for 30 s at its end, which its stop allows; both buffers and every destination are named."""
    definition = filled(name)
    assert container(definition, "log_router")["stopTimeout"] > 30
    to = options(definition, WORKER)
    assert (to["Name"], to["log_group_name"], to["auto_create_group"]) == ("cloudwatch_logs", f"/ecs/{name}", "false")
    assert int(to["log-driver-buffer-limit"]) <= 65_536
    for sidecar in ("datadog-agent", "log_router"):
        assert options(definition, sidecar)["mode"] == "non-blocking"
        assert options(definition, sidecar)["max-buffer-size"] == "10m"


class Declared(Job[Any]):
    """Stands for a job whose declarations a planted fault contradicts."""

    secrets = ("STRIPE_API_KEY",)
    environment = {"STRIPE_API_BASE": None}  # noqa: RUF012 - as a job file writes it


MISFITS: dict[str, Plant] = {
    "one job, one name": lambda d: d.update(family="poll_payments"),
    "secret STRIPE_API_KEY": lambda d: container(d, WORKER)["secrets"].pop(1),
    "environment STRIPE_API_BASE": lambda d: remove(d, "STRIPE_API_BASE"),
    "unknown WORKER_RAET": lambda d: put(d, "WORKER_RAET", "90"),
}


@pytest.mark.parametrize("said", MISFITS)
def test_task_definitions_misfit_is_found(said: str) -> None:
    """Each disagreement between job and definition is found, and none where there is none."""
    definition = filled("poll-payments")
    assert list(misfits(definition, "poll-payments", Declared)) == []
    MISFITS[said](definition)
    assert any(said in misfit for misfit in misfits(definition, "poll-payments", Declared))


def put(definition: dict[str, Any], name: str, value: str, where: str = WORKER) -> None:
    """Set a plain variable of a container."""
    remove(definition, name, where)
    container(definition, where)["environment"].append({"name": name, "value": value})


def remove(definition: dict[str, Any], name: str, where: str = WORKER) -> None:
    """Take a plain variable away from a container."""
    one = container(definition, where)
    one["environment"] = [pair for pair in one["environment"] if pair["name"] != name]


def options(definition: dict[str, Any], where: str) -> dict[str, str]:
    """Give a container's log options."""
    found: dict[str, str] = container(definition, where)["logConfiguration"]["options"]
    return found


FAULTS: list[tuple[str, Plant]] = [
    ("exactly one must be 'worker'", lambda d: container(d, WORKER).update(name="main")),
    ("no two alike", lambda d: d["containerDefinitions"].append(copy.deepcopy(container(d, "log_router")))),
    ("networkMode 'awsvpc'", lambda d: d.update(networkMode="bridge")),
    ("requiresCompatibilities", lambda d: d.pop("requiresCompatibilities")),
    ("runtimePlatform", lambda d: d.pop("runtimePlatform")),
    ("no cpu 512 with memory 9999", lambda d: d.update(memory="9999")),
    ("no cpu 300 with memory 1024", lambda d: d.update(cpu="300")),
    ("adds up to 1152 of the task's 1024 MiB", lambda d: container(d, WORKER).update(memory=768)),
    ("two roles", lambda d: d.update(taskRoleArn=d["executionRoleArn"])),
    ("two roles", lambda d: d.pop("taskRoleArn")),
    ("can change under its name", lambda d: container(d, "datadog-agent").update(image="datadog/agent:latest")),
    ("can change under its name", lambda d: container(d, WORKER).update(image="localhost:5000/worker")),
    ("worker: must be essential", lambda d: container(d, WORKER).update(essential=False)),
    ("datadog-agent: must be essential false", lambda d: container(d, "datadog-agent").pop("essential")),
    ("'agent', which is no other", lambda d: container(d, WORKER)["dependsOn"][0].update(containerName="agent")),
    ("must name 'log_router'", lambda d: container(d, WORKER)["dependsOn"].pop()),
    ("must say START", lambda d: container(d, WORKER)["dependsOn"][0].update(condition="HEALTHY")),
    ("stopTimeout is 600", lambda d: container(d, WORKER).update(stopTimeout=600)),
    ("stopTimeout is None", lambda d: container(d, WORKER).pop("stopTimeout")),
    ("STOP_TIMEOUT is '30'", lambda d: put(d, "STOP_TIMEOUT", "30")),
    ("STOP_TIMEOUT is None", lambda d: remove(d, "STOP_TIMEOUT")),
    ("readonlyRootFilesystem", lambda d: container(d, WORKER).pop("readonlyRootFilesystem")),
    ("initProcessEnabled", lambda d: container(d, WORKER).pop("linuxParameters")),
    ("DATABASE_URL is a secret in plain", lambda d: put(d, "DATABASE_URL", "x")),
    ("DD_API_KEY is a secret in plain", lambda d: put(d, "DD_API_KEY", "x", "datadog-agent")),
    ("OTHER is a secret in plain", lambda d: put(d, "OTHER", "sk_live_abcdefgh12345678")),
    ("must come from an ARN", lambda d: container(d, WORKER)["secrets"][0].update(valueFrom="postgres://u:p@h/d")),
    ("log mode must be said", lambda d: options(d, "datadog-agent").pop("mode")),
    ("which knows none", lambda d: options(d, WORKER).update(mode="non-blocking")),
    ("log-driver-buffer-limit must be said", lambda d: options(d, WORKER).pop("log-driver-buffer-limit")),
    ("there are 0", lambda d: container(d, "log_router").pop("firelensConfiguration")),
    ("logDriver is None", lambda d: container(d, "log_router").pop("logConfiguration")),
    (
        "use minimize-log-loss.conf",
        lambda d: container(d, "log_router")["firelensConfiguration"]["options"].pop("config-file-value"),
    ),
    ("ECS_FARGATE must be 'true'", lambda d: remove(d, "ECS_FARGATE", "datadog-agent")),
    ("STOP_TIMEOUT is 40 s and stopTimeout 30", lambda d: put(d, "DD_FORWARDER_STOP_TIMEOUT", "30", "datadog-agent")),
    ("LOG_GROUP is '/ecs/other'", lambda d: put(d, "LOG_GROUP", "/ecs/other")),
    ("LOG_STREAM_PREFIX is None", lambda d: remove(d, "LOG_STREAM_PREFIX")),
    (
        "FLUSH_INCOMPLETE_BUCKETS must be 'true'",
        lambda d: put(d, "DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS", "false", "datadog-agent"),
    ),
]


@pytest.mark.parametrize(("said", "plant"), FAULTS, ids=[f"{number}-{said}" for number, (said, _) in enumerate(FAULTS)])
def test_task_definitions_planted_fault_is_found(said: str, plant: Plant) -> None:
    """Each check finds the fault that it is there for."""
    definition = filled("poll-payments")
    plant(definition)
    assert any(said in fault for fault in faults(definition))


def test_task_definitions_sizes_are_those_of_fargate() -> None:
    """The table holds what AWS publishes: smallest, largest and number of memory sizes a cpu size."""
    assert {cpu: (sizes[0], sizes[-1], len(sizes)) for cpu, sizes in FARGATE_SIZES.items()} == {
        256: (512, 2_048, 3),
        512: (1_024, 4_096, 4),
        1_024: (2_048, 8_192, 7),
        2_048: (4_096, 16_384, 13),
        4_096: (8_192, 30_720, 23),
        8_192: (16_384, 61_440, 12),
        16_384: (32_768, 122_880, 12),
    }


@pytest.mark.parametrize("name", FILES)
def test_task_definitions_register(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The AWS client's model knows every parameter, and ECS (moto's) takes the definition."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("ecs", region_name="eu-central-1")
        registered = client.register_task_definition(**filled(name))["taskDefinition"]
    assert registered["taskDefinitionArn"].endswith(f"task-definition/{name}:1")
