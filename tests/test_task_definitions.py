"""Every job has a task definition that fits it, that ECS takes, and that survives the night."""

import boto3  # type: ignore[import-untyped]
import pytest
from definitions import FILES, ROOT, container, filled
from moto import mock_aws

from worker import registry
from worker.aws.definition import WORKER, environment_of, worker_of
from worker.aws.definition_faults import FARGATE_SIZES, faults
from worker.aws.doctor.fit import misfits

JOBS = sorted(file.stem.replace("_", "-") for file in (ROOT / "jobs").glob("*.py") if not file.name.startswith("_"))


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
    assert list(misfits(filled(name), registry.load(name))) == []


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
    to = container(definition, WORKER)["logConfiguration"]["options"]
    assert (to["Name"], to["log_group_name"], to["auto_create_group"]) == ("cloudwatch_logs", f"/ecs/{name}", "false")
    assert int(to["log-driver-buffer-limit"]) <= 65_536
    for sidecar in ("datadog-agent", "log_router"):
        options = container(definition, sidecar)["logConfiguration"]["options"]
        assert (options["mode"], options["max-buffer-size"]) == ("non-blocking", "10m")


def test_task_definitions_faults_are_said_in_words() -> None:
    """Each with its place and how to mend it; tests/test_doctor.py plants all that there are."""
    definition = filled("poll-payments")
    container(definition, WORKER).update(stopTimeout=600)
    assert faults(definition) == [
        'containerDefinitions[worker].stopTimeout: is 600; it can be 2 to 120 seconds; mend: "stopTimeout": 120'
    ]


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
