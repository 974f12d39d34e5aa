"""Find what ECS accepts in a task definition and the night does not."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from worker.aws.definition import WORKER, Definition, environment_of, is_known, malformed, place, worker_of
from worker.aws.doctor import codes
from worker.aws.doctor.finding import Finding
from worker.aws.doctor.telemetry import agent, log_link, logs
from worker.environment import VARIABLES
from worker.mask import Mask
from worker.size import FARGATE_SIZES

__all__ = ["FARGATE_SIZES", "LONGEST_STOP", "WORKER", "environment_of", "faults", "findings", "worker_of"]

_LAST_PORT = 65_535
LONGEST_STOP = 120
"""Seconds: the longest stopTimeout on Fargate."""

_SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIALS")
_KNOWN = {variable.name: variable.secret for variable in VARIABLES}
_MOVING_TAGS = ("", "latest", "stable")


def faults(definition: Definition) -> list[str]:
    """Say everything that is wrong with a filled-in task definition, each with how to mend it."""
    return [str(finding) for finding in findings(definition)]


def findings(definition: Definition) -> list[Finding]:
    """Find everything that is wrong with a task definition; what is not filled in yet is not judged."""
    if wrong := malformed(definition):
        return [codes.MALFORMED.at("", wrong, "write it as `aws ecs register-task-definition` takes it")]
    names = [container["name"] for container in definition["containerDefinitions"]]
    if names.count(WORKER) != 1 or len(set(names)) < len(names):
        one = f"exactly one must be {WORKER!r}, and no two alike"
        return [codes.CONTAINER_NAMES.at("containerDefinitions", f"containers are named {names}", one)]
    return [finding for check in _CHECKS for finding in check(definition)]


def is_secret(name: str, value: str) -> bool:
    """Tell whether a variable is a secret, by its name or by what it looks like."""
    sounds = bool(set(_SECRET_WORDS) & set(name.split("_")))
    return _KNOWN.get(name, sounds) or Mask()(value) != value


def _sidecars(definition: Definition) -> list[Mapping[str, Any]]:
    return [container for container in definition["containerDefinitions"] if container["name"] != WORKER]


def _platform(definition: Definition) -> Iterator[Finding]:
    for name, wanted, line in (
        ("requiresCompatibilities", ["FARGATE"], '"requiresCompatibilities": ["FARGATE"]'),
        ("networkMode", "awsvpc", '"networkMode": "awsvpc"'),
    ):
        if definition.get(name) != wanted:
            yield codes.NOT_FARGATE.at(name, f"is {definition.get(name)!r}", line)
    if not {"operatingSystemFamily", "cpuArchitecture"} <= set(definition.get("runtimePlatform") or ()):
        line = '"runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "X86_64"}'
        yield codes.NO_PLATFORM.at("runtimePlatform", f"is {definition.get('runtimePlatform')!r}", line)


def _size(definition: Definition) -> Iterator[Finding]:
    cpu, memory = _number(definition.get("cpu", "")), _number(definition.get("memory", ""))
    if memory not in FARGATE_SIZES.get(cpu, ()):
        what = f"Fargate has no cpu {definition.get('cpu')!r} with memory {definition.get('memory')!r}"
        near = min(FARGATE_SIZES, key=lambda size: abs(size - cpu))
        sizes = FARGATE_SIZES[near]
        line = f'"cpu": "{near}", "memory": "{min(sizes, key=lambda size: abs(size - memory))}"'
        yield codes.SIZE_NOT_OFFERED.at("cpu, memory", what, f"{line}; that cpu has {sizes[0]} to {sizes[-1]} MiB")
    taken = sum(container.get("memory", 0) for container in definition["containerDefinitions"])
    if taken >= memory > 0:
        what = f"the containers' adds up to {taken} of the task's {memory} MiB"
        yield codes.MEMORY_ALL_TAKEN.at(
            "memory", what, f"give the worker {taken - memory + 128} MiB less, or the task more"
        )


def _number(text: str) -> int:
    """Read a size: CPU units and MiB, or `.5 vCPU` and `1 GB` as ECS takes them, too."""
    if not (read := re.fullmatch(r"([0-9]+|[0-9]*\.[0-9]+) ?(vcpu|gb)?", text.strip().lower())):
        return 0
    return int(float(read[1]) * (1024 if read[2] else 1))


def _roles(definition: Definition) -> Iterator[Finding]:
    task, execution = definition.get("taskRoleArn"), definition.get("executionRoleArn")
    if not task or not execution or task == execution:
        what = f"taskRoleArn is {task!r}, executionRoleArn {execution!r}"
        yield codes.ONE_ROLE.at("taskRoleArn", what, "name two roles: the outputs of the job's stack")


def _images(definition: Definition) -> Iterator[Finding]:
    for container in definition["containerDefinitions"]:
        image = container["image"]
        name = image.rpartition("/")[2]
        if is_known(image) and "@sha256:" not in name and name.partition(":")[2] in _MOVING_TAGS:
            what = f"image {image!r} can change under its name"
            yield codes.MOVING_IMAGE.at(place(container, "image"), what, "give a version or a digest")


def _essential(definition: Definition) -> Iterator[Finding]:
    worker = worker_of(definition)
    if worker.get("essential") is not True:
        what = f"is {worker.get('essential')!r}"
        yield codes.WORKER_NOT_ESSENTIAL.at(place(worker, "essential"), what, '"essential": true')
    for container in _sidecars(definition):
        if container.get("essential") is not False:
            what = "is true" if "essential" in container else "is not said, which ECS takes for true"
            yield codes.ESSENTIAL_SIDECAR.at(place(container, "essential"), what, '"essential": false')


def _order(definition: Definition) -> Iterator[Finding]:
    worker, sidecars = worker_of(definition), {container["name"] for container in _sidecars(definition)}
    awaited = {after["containerName"]: after["condition"] for after in worker.get("dependsOn", ())}
    path = place(worker, "dependsOn")
    for name in sorted(awaited.keys() - sidecars):
        yield codes.DEPENDS_ON_NOBODY.at(
            path, f"names {name!r}, which is no other container of the task", "take it out"
        )
    for name in sorted(sidecars - awaited.keys()):
        line = f'"dependsOn": [{{"containerName": "{name}", "condition": "START"}}]'
        yield codes.DEPENDS_ON_MISSING.at(path, f"does not name {name!r}", line)
    for name in sorted(sidecars & awaited.keys()):
        if awaited[name] != "START":
            line = f'{{"containerName": "{name}", "condition": "START"}}'
            yield codes.DEPENDS_ON_HEALTH.at(path, f"waits for {name!r} to be {awaited[name]}", line)


def _stop(definition: Definition) -> Iterator[Finding]:
    worker = worker_of(definition)
    timeout, told = worker.get("stopTimeout"), environment_of(worker).get("STOP_TIMEOUT")
    if timeout is None or not 2 <= timeout <= LONGEST_STOP:
        what = f"is {timeout!r}; it can be 2 to {LONGEST_STOP} seconds"
        yield codes.STOP_TIMEOUT.at(place(worker, "stopTimeout"), what, f'"stopTimeout": {LONGEST_STOP}')
    elif told != str(timeout):
        what = f"STOP_TIMEOUT is {told!r} and stopTimeout {timeout}"
        line = f'{{"name": "STOP_TIMEOUT", "value": "{timeout}"}}'
        yield codes.STOP_TIMEOUT_UNTOLD.at(place(worker, "environment"), what, line)
    for container in _sidecars(definition):
        timeout = container.get("stopTimeout")
        if timeout is not None and not 2 <= timeout <= LONGEST_STOP:
            what = f"is {timeout!r}; it can be 2 to {LONGEST_STOP} seconds"
            yield codes.STOP_TIMEOUT.at(place(container, "stopTimeout"), what, '"stopTimeout": 60')


def _confined(definition: Definition) -> Iterator[Finding]:
    worker = worker_of(definition)
    if worker.get("readonlyRootFilesystem") is not True:
        path, line = place(worker, "readonlyRootFilesystem"), '"readonlyRootFilesystem": true'
        yield codes.WRITABLE_ROOT.at(path, f"is {worker.get('readonlyRootFilesystem')!r}", line)
    parameters = worker.get("linuxParameters") or {}
    if parameters.get("initProcessEnabled") is not True:
        path, line = place(worker, "linuxParameters"), '"linuxParameters": {"initProcessEnabled": true}'
        yield codes.NO_INIT.at(path, f"initProcessEnabled is {parameters.get('initProcessEnabled')!r}", line)


def _ports(definition: Definition) -> Iterator[Finding]:
    for container in definition["containerDefinitions"]:
        for mapping in container.get("portMappings", ()):
            port, host = mapping.get("containerPort"), mapping.get("hostPort", mapping.get("containerPort"))
            if not isinstance(port, int) or not 1 <= port <= _LAST_PORT or host != port:
                what = f"containerPort is {port!r}, hostPort {host!r}"
                yield codes.PORT.at(place(container, "portMappings"), what, f"one port for both, 1 to {_LAST_PORT:,}")


def _secrets(definition: Definition) -> Iterator[Finding]:
    for container in definition["containerDefinitions"]:
        for name, value in environment_of(container).items():
            if is_secret(name, value):
                yield plain_secret(container, name)
        for secret in container.get("secrets", ()):
            if is_known(secret["valueFrom"]) and not secret["valueFrom"].startswith("arn:"):
                what = f"the valueFrom of {secret['name']} is no ARN (it is not shown)"
                line = f'{{"name": "{secret["name"]}", "valueFrom": "${{{secret["name"]}_ARN}}"}}'
                yield codes.SECRET_WITHOUT_ARN.at(place(container, "secrets"), what, line)


def plain_secret(container: Mapping[str, Any], name: str) -> Finding:
    """Find a secret in plain environment."""
    line = f'move it to secrets: {{"name": "{name}", "valueFrom": "${{{name}_ARN}}"}}'
    return codes.SECRET_IN_PLAIN.at(place(container, "environment"), f"{name} is a secret in plain environment", line)


_CHECKS: tuple[Callable[[Definition], Iterator[Finding]], ...] = (
    _platform,
    _size,
    _roles,
    _images,
    _essential,
    _order,
    _stop,
    _confined,
    _ports,
    _secrets,
    logs,
    log_link,
    agent,
)
