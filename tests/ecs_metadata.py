"""The task metadata endpoint, version 4, and the task role's credentials, for all tasks of the local ECS.

As in the ECS Developer Guide, "Task metadata endpoint version 4" (its examples for Fargate) and "Task IAM role": a container finds both
by variables that ECS sets. The SDK takes credentials from a loopback address alone (botocore's ContainerMetadataFetcher).
"""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Described = Callable[[str], Mapping[str, Any] | None]
"""Gives a task, as DescribeTasks does, by its id."""

_CREDENTIALS = {
    "AccessKeyId": "test",
    "SecretAccessKey": "test",
    "Token": "test",
    "Expiration": "2099-01-01T00:00:00Z",
}
_CPU_UNITS = 1024


class Metadata(ThreadingHTTPServer):
    """Serve it in threads, until the process ends."""

    daemon_threads = True

    def __init__(self, described: Described) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.described = described
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def environment(self, task_id: str) -> dict[str, str]:
        """Give the variables by which a container finds it."""
        here = f"http://127.0.0.1:{self.server_address[1]}"
        return {
            "ECS_CONTAINER_METADATA_URI_V4": f"{here}/v4/{task_id}",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{here}/credentials/{task_id}",
            "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
        }


class _Request(BaseHTTPRequestHandler):
    server: Metadata

    def do_GET(self) -> None:
        _, kind, task_id, *rest = f"{self.path}//".split("/")
        task = self.server.described(task_id)
        if task is None:
            return self.send_error(404)
        known = _CREDENTIALS if kind == "credentials" else _task(task) if rest[0] == "task" else _container(task)
        body = json.dumps(known).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return None

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


def _task(task: Mapping[str, Any]) -> dict[str, Any]:
    family, _, revision = task["taskDefinitionArn"].rpartition("/")[2].partition(":")
    return {
        "Cluster": task["clusterArn"],
        "TaskARN": task["taskArn"],
        "Family": family,
        "Revision": revision,
        "DesiredStatus": task["desiredStatus"],
        "KnownStatus": task["lastStatus"],
        "Limits": {"CPU": int(task["cpu"]) / _CPU_UNITS, "Memory": int(task["memory"])},
        "LaunchType": task.get("launchType", "FARGATE"),
    }


def _container(task: Mapping[str, Any]) -> dict[str, Any]:
    worker = next(container for container in task["containers"] if container["name"] == "worker")
    limits = {"CPU": int(worker["cpu"]), "Memory": int(worker["memory"])} if "memory" in worker else {}
    return {
        "Name": worker["name"],
        "Image": worker["image"],
        "KnownStatus": worker["lastStatus"],
        "Limits": limits,
        "ContainerARN": worker["containerArn"],
        "LogDriver": "awsfirelens",
    }
