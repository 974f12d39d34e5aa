"""Ask ECS who this task is: the task metadata endpoint, version 4."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from worker.aws import cgroup as control_group
from worker.aws import log_link
from worker.environment import Settings
from worker.events import Task

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_MEBIBYTE = 1024 * 1024
_CPU_UNITS = 1024


async def task(settings: Settings, cgroup: Path = control_group.CGROUP) -> Task:
    """Say where this attempt runs, within about a second; only the container's limits outside ECS, or where it fails."""
    uri = settings.ecs_metadata_uri
    whole: Mapping[str, Any] = {}
    own: Mapping[str, Any] = {}
    if uri:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                whole = await _get(f"{uri}/task")
                own = await _get(uri)
        except (OSError, ValueError) as error:
            log.debug("the task metadata endpoint %s gave no answer: %r", uri, error)
    memory, cpu = _limits(whole.get("Limits") or {}, own.get("Limits") or {})
    arn = str(whole.get("TaskARN") or "")
    region = arn.split(":")[3] if arn.count(":") >= 3 else settings.aws_region
    return Task(
        arn=arn or None,
        family=whole.get("Family"),
        revision=whole.get("Revision"),
        cluster=str(whole.get("Cluster") or "").rpartition("/")[2] or None,
        region=region,
        memory_limit=memory or control_group.memory_limit(cgroup),
        cpu_limit=cpu or control_group.cpu_limit(cgroup),
        log_url=_log_url(own, arn, region, settings),
    )


async def _get(url: str) -> dict[str, Any]:
    """Fetch a JSON object; HTTP/1.0, so that the answer ends with the connection and comes in no chunks."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        writer.write(f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body) if head.split()[1:2] == [b"200"] else None
    if not isinstance(found, dict):
        raise ValueError(f"GET {url} answered {answer[:80]!r}")
    return found


def _limits(task: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """Give bytes and vCPU: what kills the process is the lower of the task's memory and the container's own."""
    mebibytes = [limit for limit in (task.get("Memory"), container.get("Memory")) if limit]
    cpu = task.get("CPU") or (container.get("CPU") or 0) / _CPU_UNITS
    return (int(min(mebibytes) * _MEBIBYTE) if mebibytes else None), (float(cpu) if cpu else None)


def _log_url(own: Mapping[str, Any], arn: str, region: str | None, settings: Settings) -> str | None:
    """Link to the container's log stream: the one that the awslogs driver names, or the one that the log router makes."""
    options = own.get("LogOptions") or {}
    group, stream = options.get("awslogs-group"), options.get("awslogs-stream")
    if not group and arn and own.get("Name"):
        group = settings.log_group
        stream = log_link.firelens_stream(settings.log_stream_prefix or "", own["Name"], arn)
    region = options.get("awslogs-region") or region
    return log_link.log_url(group, stream, region) if group and stream and region else None
