"""Find what ECS accepts in a task definition and the night does not."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from worker.environment import VARIABLES
from worker.mask import Mask
from worker.size import FARGATE_SIZES as FARGATE_SIZES

Definition: TypeAlias = Mapping[str, Any]
"""A task definition as RegisterTaskDefinition takes it."""

LONGEST_STOP = 120
"""Seconds: the longest stopTimeout on Fargate."""

WORKER = "worker"
"""The name of the container that works; overrides address it by this name."""

_SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIALS")
_KNOWN = {variable.name: variable.secret for variable in VARIABLES}
_FLUSHES = ("DD_AGGREGATOR_STOP_TIMEOUT", "DD_FORWARDER_STOP_TIMEOUT")
_FLUSH_S, _STOP_UNASKED_S = 2, 30
_MOVING_TAGS = ("", "latest", "stable")


def faults(definition: Definition) -> list[str]:
    """Say everything that is wrong with a filled-in task definition, each with how to mend it."""
    names = [container["name"] for container in definition["containerDefinitions"]]
    if names.count(WORKER) != 1 or len(set(names)) < len(names):
        return [f"containers are named {names}: exactly one must be {WORKER!r}, and no two alike"]
    return [fault for check in _CHECKS for fault in check(definition)]


def worker_of(definition: Definition) -> Mapping[str, Any]:
    """Give the container that works."""
    return next(container for container in definition["containerDefinitions"] if container["name"] == WORKER)


def environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Give a container's plain environment."""
    return {pair["name"]: pair["value"] for pair in container.get("environment", ())}


def _sidecars(definition: Definition) -> list[Mapping[str, Any]]:
    return [container for container in definition["containerDefinitions"] if container["name"] != WORKER]


def _platform(definition: Definition) -> Iterator[str]:
    if definition.get("requiresCompatibilities") != ["FARGATE"] or definition.get("networkMode") != "awsvpc":
        yield "Fargate needs requiresCompatibilities ['FARGATE'] and networkMode 'awsvpc'"
    if not {"operatingSystemFamily", "cpuArchitecture"} <= set(definition.get("runtimePlatform") or ()):
        yield "runtimePlatform must name operatingSystemFamily and cpuArchitecture: an image runs on one of them"


def _size(definition: Definition) -> Iterator[str]:
    cpu, memory = int(definition.get("cpu", 0)), int(definition.get("memory", 0))
    if memory not in FARGATE_SIZES.get(cpu, ()):
        offered = (
            ", ".join(map(str, FARGATE_SIZES.get(cpu, ())))
            or f"nothing; it has cpu {', '.join(map(str, FARGATE_SIZES))}"
        )
        yield f"Fargate has no cpu {cpu} with memory {memory}; with that cpu it has {offered}"
    taken = sum(container.get("memory", 0) for container in definition["containerDefinitions"])
    if taken >= memory:
        yield f"the containers' memory adds up to {taken} of the task's {memory} MiB: leave some for the log driver's buffer"


def _roles(definition: Definition) -> Iterator[str]:
    task, execution = definition.get("taskRoleArn"), definition.get("executionRoleArn")
    if not task or not execution or task == execution:
        yield "taskRoleArn and executionRoleArn must be two roles: the worker needs no right to read all secrets"


def _images(definition: Definition) -> Iterator[str]:
    for container in definition["containerDefinitions"]:
        name = container["image"].rpartition("/")[2]
        if "@sha256:" not in name and name.partition(":")[2] in _MOVING_TAGS:
            yield f"{container['name']}: image {container['image']!r} can change under its name: give a version or a digest"


def _essential(definition: Definition) -> Iterator[str]:
    if worker_of(definition).get("essential") is not True:
        yield f"{WORKER}: must be essential, so that the task ends when it does"
    for container in _sidecars(definition):
        if container.get("essential") is not False:  # ECS takes a missing one for true
            yield f"{container['name']}: must be essential false, or its end kills the run"


def _order(definition: Definition) -> Iterator[str]:
    sidecars = {container["name"] for container in _sidecars(definition)}
    awaited = {after["containerName"]: after["condition"] for after in worker_of(definition).get("dependsOn", ())}
    for name in sorted(awaited.keys() - sidecars):
        yield f"{WORKER}: dependsOn names {name!r}, which is no other container of the task"
    for name in sorted(sidecars - awaited.keys()):
        yield f"{WORKER}: dependsOn must name {name!r}, or it is stopped together with the worker and loses its last words"
    for name, condition in awaited.items():
        if condition != "START":
            yield f"{WORKER}: dependsOn {name!r} must say START: with {condition} an ill sidecar keeps the run from starting"


def _stop(definition: Definition) -> Iterator[str]:
    worker = worker_of(definition)
    timeout, told = worker.get("stopTimeout"), environment_of(worker).get("STOP_TIMEOUT")
    if timeout is None or not 2 <= timeout <= LONGEST_STOP:
        yield f"{WORKER}: stopTimeout is {timeout!r}; say 2 to {LONGEST_STOP} seconds (ECS gives 30 unasked)"
    elif told != str(timeout):
        yield f"{WORKER}: STOP_TIMEOUT is {told!r} and stopTimeout {timeout!r}: the worker plans its stop by the former"


def _confined(definition: Definition) -> Iterator[str]:
    worker = worker_of(definition)
    if worker.get("readonlyRootFilesystem") is not True:
        yield f"{WORKER}: readonlyRootFilesystem must be true"
    if (worker.get("linuxParameters") or {}).get("initProcessEnabled") is not True:
        yield f"{WORKER}: linuxParameters.initProcessEnabled must be true, or nothing reaps its child processes"


def _secrets(definition: Definition) -> Iterator[str]:
    for container in definition["containerDefinitions"]:
        for name, value in environment_of(container).items():
            if _KNOWN.get(name, _sounds_secret(name)) or Mask()(value) != value:
                yield f"{container['name']}: {name} is a secret in plain environment: move it to secrets, by valueFrom"
        for secret in container.get("secrets", ()):
            if not secret["valueFrom"].startswith("arn:"):
                yield f"{container['name']}: secret {secret['name']} must come from an ARN (its value is not shown)"


def _sounds_secret(name: str) -> bool:
    return bool(set(_SECRET_WORDS) & set(name.split("_")))


def _logs(definition: Definition) -> Iterator[str]:
    routers = [container for container in definition["containerDefinitions"] if "firelensConfiguration" in container]
    for container in definition["containerDefinitions"]:
        log = container.get("logConfiguration") or {}
        yield from (
            f"{container['name']}: {fault}" for fault in _log(log.get("logDriver"), log.get("options", {}), routers)
        )
    for router in routers:
        if "minimize-log-loss" not in router["firelensConfiguration"]["options"].get("config-file-value", ""):
            yield f"{router['name']}: use minimize-log-loss.conf: Fluent Bit's own grace of 5 s loses the last lines"


def _log(driver: str | None, options: Mapping[str, str], routers: list[Mapping[str, Any]]) -> Iterator[str]:
    if driver == "awslogs":
        if options.get("mode") not in ("blocking", "non-blocking"):
            yield "log mode must be said: blocking or non-blocking"
    elif driver == "awsfirelens":
        if len(routers) != 1:
            yield f"awsfirelens needs one container with firelensConfiguration, there are {len(routers)}"
        if "mode" in options:
            yield "awsfirelens hands the option mode to Fluent Bit, which knows none and does not start"
        if "log-driver-buffer-limit" not in options:
            yield "log-driver-buffer-limit must be said: 1,048,576 lines unasked may be more than the task's memory"
    else:
        yield f"logDriver is {driver!r}: say awslogs or awsfirelens"


def _log_link(definition: Definition) -> Iterator[str]:
    """Say where the worker's link and its router's destination disagree."""
    log, told = worker_of(definition).get("logConfiguration") or {}, environment_of(worker_of(definition))
    if log.get("logDriver") != "awsfirelens":
        return
    options = log.get("options", {})
    for name, option in (("LOG_GROUP", "log_group_name"), ("LOG_STREAM_PREFIX", "log_stream_prefix")):
        if told.get(name) != options.get(option):
            yield f"{WORKER}: {name} is {told.get(name)!r} and {option} {options.get(option)!r}: the summary links another log"


def _agent(definition: Definition) -> Iterator[str]:
    for container in definition["containerDefinitions"]:
        if "datadog/agent" in container["image"]:
            environment = environment_of(container)
            if environment.get("ECS_FARGATE") != "true":
                yield f"{container['name']}: ECS_FARGATE must be 'true', or the agent looks for a host that is not there"
            if environment.get("DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS") != "true":
                yield f"{container['name']}: DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS must be 'true', or the last metrics are lost"
            flush = sum(float(environment.get(name, _FLUSH_S)) for name in _FLUSHES)
            stop = container.get("stopTimeout") or _STOP_UNASKED_S
            if flush >= stop:
                yield f"{container['name']}: {' + '.join(_FLUSHES)} is {flush:g} s and stopTimeout {stop}: it is killed while it flushes"


_CHECKS: tuple[Callable[[Definition], Iterator[str]], ...] = (
    _platform,
    _size,
    _roles,
    _images,
    _essential,
    _order,
    _stop,
    _confined,
    _secrets,
    _logs,
    _log_link,
    _agent,
)
