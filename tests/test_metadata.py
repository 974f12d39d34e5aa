"""worker/aws/metadata.py: the task says who it is, within a second or not at all."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from definitions import filled

from worker.aws import metadata
from worker.aws.definition_faults import environment_of, worker_of
from worker.environment import Settings, settings
from worker.events import Task

# As in "Amazon ECS task metadata v4 examples for tasks on Fargate" (Amazon ECS Developer Guide), without the network part.
ARN = "arn:aws:ecs:us-west-2:111122223333:task/default/e9028f8d5d8e4f258373e7b93ce9a3c3"
CONTAINER: dict[str, Any] = {
    "DockerId": "cd189a933e5849daa93386466019ab50-2495160603",
    "Name": "curl",
    "Image": "111122223333.dkr.ecr.us-west-2.amazonaws.com/curltest:latest",
    "DesiredStatus": "RUNNING",
    "KnownStatus": "RUNNING",
    "Limits": {"CPU": 10, "Memory": 128},
    "CreatedAt": "2020-10-08T20:09:11.44527186Z",
    "StartedAt": "2020-10-08T20:09:11.44527186Z",
    "Type": "NORMAL",
    "LogDriver": "awslogs",
    "LogOptions": {
        "awslogs-create-group": "true",
        "awslogs-group": "/ecs/containerlogs",
        "awslogs-region": "us-west-2",
        "awslogs-stream": "ecs/curl/cd189a933e5849daa93386466019ab50",
    },
    "ContainerARN": "arn:aws:ecs:us-west-2:111122223333:container/05966557-f16c-49cb-9352-24b3a0dcd0e1",
}
TASK: dict[str, Any] = {
    "Cluster": "arn:aws:ecs:us-west-2:111122223333:cluster/default",
    "TaskARN": ARN,
    "Family": "curltest",
    "Revision": "3",
    "DesiredStatus": "RUNNING",
    "KnownStatus": "RUNNING",
    "Limits": {"CPU": 0.25, "Memory": 512},
    "PullStartedAt": "2020-10-08T20:47:16.053330955Z",
    "PullStoppedAt": "2020-10-08T20:47:19.592684631Z",
    "AvailabilityZone": "us-west-2a",
    "Containers": [CONTAINER],
    "LaunchType": "FARGATE",
    "ClockDrift": {"ClockErrorBound": 0.5458234999999999, "ClockSynchronizationStatus": "SYNCHRONIZED"},
    "EphemeralStorageMetrics": {"Utilized": 261, "Reserved": 20496},
}
LOG_URL = (
    "https://us-west-2.console.aws.amazon.com/cloudwatch/home?region=us-west-2#logsV2:log-groups/log-group/"
    "$252Fecs$252Fcontainerlogs/log-events/ecs$252Fcurl$252Fcd189a933e5849daa93386466019ab50"
)


@contextmanager
def endpoint(answers: dict[str, bytes]) -> Iterator[str]:
    """Serve answers by path, as ECS does at ECS_CONTAINER_METADATA_URI_V4."""

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v4/abc"
        server.shutdown()
        thread.join()


def asked(uri: str) -> Settings:
    return settings({"ECS_CONTAINER_METADATA_URI_V4": uri})


def answers(container: dict[str, Any] = CONTAINER, task: dict[str, Any] = TASK) -> dict[str, bytes]:
    return {"/v4/abc": json.dumps(container).encode(), "/v4/abc/task": json.dumps(task).encode()}


async def test_metadata_says_who_the_task_is(tmp_path: Path) -> None:
    """ARN, family, revision, cluster, region, limits and log link come from ECS's two answers."""
    with endpoint(answers()) as uri:
        assert await metadata.task(asked(uri), tmp_path) == Task(
            arn=ARN,
            family="curltest",
            revision="3",
            cluster="default",
            region="us-west-2",
            memory_limit=128 * 1024 * 1024,
            cpu_limit=0.25,
            log_url=LOG_URL,
        )


async def test_metadata_takes_the_task_memory_where_the_container_has_no_limit(tmp_path: Path) -> None:
    """A container without a limit of its own may use the whole task."""
    with endpoint(answers(container={**CONTAINER, "Limits": {"CPU": 2}})) as uri:
        found = await metadata.task(asked(uri), tmp_path)
    assert (found.memory_limit, found.cpu_limit) == (512 * 1024 * 1024, 0.25)


async def test_metadata_counts_cpu_units_where_the_task_has_no_limits(tmp_path: Path) -> None:
    """On EC2 a task may have no limits: the container's CPU is in units of 1/1024 vCPU."""
    task = {name: value for name, value in TASK.items() if name != "Limits"}
    with endpoint(answers({**CONTAINER, "Limits": {"CPU": 512, "Memory": 256}}, task)) as uri:
        found = await metadata.task(asked(uri), tmp_path)
    assert (found.memory_limit, found.cpu_limit) == (256 * 1024 * 1024, 0.5)


async def test_metadata_links_the_stream_that_the_log_router_makes(tmp_path: Path) -> None:
    """Under FireLens it is the router's prefix, the container's name and the task's id: what the definition says decides."""
    definition = filled("poll-payments")
    told = environment_of(worker_of(definition)) | {"AWS_REGION": ""}
    firelens = {**CONTAINER, "Name": "worker", "LogDriver": "awsfirelens", "LogOptions": {}}
    with endpoint(answers(container=firelens)) as uri:
        found = await metadata.task(settings({**told, "ECS_CONTAINER_METADATA_URI_V4": uri}), tmp_path)
    assert found.log_url == (
        "https://us-west-2.console.aws.amazon.com/cloudwatch/home?region=us-west-2#logsV2:log-groups/log-group/"
        "$252Fecs$252Fpoll-payments/log-events/worker$252Fworker-firelens-e9028f8d5d8e4f258373e7b93ce9a3c3"
    )


async def test_metadata_links_no_log_where_another_driver_takes_it(tmp_path: Path) -> None:
    """What goes elsewhere has no CloudWatch stream to link."""
    with endpoint(answers(container={**CONTAINER, "LogOptions": {"Name": "datadog"}})) as uri:
        assert (await metadata.task(asked(uri), tmp_path)).log_url is None


@pytest.mark.parametrize("garbage", [b"", b"[]", b"{", b"<html>"])
async def test_metadata_survives_an_answer_that_is_not_one(garbage: bytes, tmp_path: Path) -> None:
    """What is not a JSON object leaves the task empty."""
    with endpoint({"/v4/abc": garbage, "/v4/abc/task": garbage}) as uri:
        assert await metadata.task(asked(uri), tmp_path) == Task()


async def test_metadata_survives_an_endpoint_that_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A refused connection leaves the task empty and a debug line that says so."""
    with endpoint({}) as uri:
        pass
    with caplog.at_level("DEBUG", "worker.aws.metadata"):
        assert await metadata.task(asked(uri), tmp_path) == Task()
    assert "gave no answer" in caplog.text


async def test_metadata_waits_about_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that takes the question and never answers costs the patience, not the run."""
    monkeypatch.setattr(metadata, "_PATIENCE_S", 0.05)
    silent = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the asker has gone
        writer.close()
        silent.set()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert await metadata.task(asked(f"http://127.0.0.1:{port}/v4/abc"), tmp_path) == Task()
        await silent.wait()


async def test_metadata_outside_ecs_reads_the_control_group(tmp_path: Path) -> None:
    """The limits of a container that is no ECS task come from cgroup v2."""
    (tmp_path / "memory.max").write_text("536870912\n")
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert await metadata.task(settings({}), tmp_path) == Task(memory_limit=512 * 1024 * 1024, cpu_limit=0.5)


async def test_metadata_without_limits_says_none(tmp_path: Path) -> None:
    """A control group without limits says `max`."""
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert await metadata.task(settings({"AWS_REGION": "eu-west-1"}), tmp_path) == Task(region="eu-west-1")
