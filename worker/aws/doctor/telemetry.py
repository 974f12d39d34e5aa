"""Find what loses a task's last words: its log drivers, the log router, the Datadog Agent."""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.aws.definition import Definition, environment_of, place, worker_of
from worker.aws.doctor import codes
from worker.aws.doctor.finding import Finding

_FLUSHES = ("DD_AGGREGATOR_STOP_TIMEOUT", "DD_FORWARDER_STOP_TIMEOUT")
_FLUSH_UNASKED_S, _STOP_UNASKED_S = 2.0, 30
_LINK = {"LOG_GROUP": "log_group_name", "LOG_STREAM_PREFIX": "log_stream_prefix"}
_CONFIG = "/fluent-bit/configs/minimize-log-loss.conf"
_GRACE_S = 30
"""Of that configuration."""


def logs(definition: Definition) -> Iterator[Finding]:
    """Look at how each container's output leaves the task."""
    containers = definition["containerDefinitions"]
    routers = [container for container in containers if container.get("firelensConfiguration")]
    for container in containers:
        log = container.get("logConfiguration") or {}
        driver, options, path = log.get("logDriver"), log.get("options", {}), place(container, "logConfiguration")
        if driver == "awslogs":
            yield from _awslogs(options, f"{path}.options")
        elif driver == "awsfirelens":
            yield from _firelens(options, f"{path}.options", len(routers))
        else:
            yield codes.LOG_DRIVER.at(path, f"logDriver is {driver!r}", '"logDriver": "awslogs", or "awsfirelens"')
    for router in routers:
        options = router["firelensConfiguration"].get("options", {})
        if "minimize-log-loss" not in options.get("config-file-value", ""):
            line = f'"config-file-type": "file", "config-file-value": "{_CONFIG}"'
            what = f"config-file-value is {options.get('config-file-value')!r}"
            yield codes.LOG_ROUTER_GRACE.at(place(router, "firelensConfiguration", "options"), what, line)
        elif (stop := router.get("stopTimeout") or _STOP_UNASKED_S) <= _GRACE_S:
            what = f"is {stop} s, and Fluent Bit takes {_GRACE_S} s to send what it has"
            yield codes.LOG_ROUTER_GRACE.at(place(router, "stopTimeout"), what, '"stopTimeout": 60')


def _awslogs(options: Mapping[str, str], path: str) -> Iterator[Finding]:
    mode = options.get("mode")
    if mode not in ("blocking", "non-blocking"):
        yield codes.LOG_MODE.at(path, f"mode is {mode!r}", '"mode": "non-blocking"')
    elif mode == "non-blocking" and "max-buffer-size" not in options:
        yield codes.LOG_BUFFER.at(path, "max-buffer-size is not said", '"max-buffer-size": "10m"')


def _firelens(options: Mapping[str, str], path: str, routers: int) -> Iterator[Finding]:
    if routers != 1:
        line = '"firelensConfiguration": {"type": "fluentbit", …}'
        yield codes.NO_LOG_ROUTER.at(
            path, f"awsfirelens needs one container with firelensConfiguration, there are {routers}", line
        )
    if "mode" in options:
        yield codes.LOG_MODE_OF_ROUTER.at(path, f"mode is {options['mode']!r}", "take it out")
    if "log-driver-buffer-limit" not in options:
        what = "log-driver-buffer-limit is not said, and 1,048,576 lines unasked"
        yield codes.LOG_BUFFER.at(path, what, '"log-driver-buffer-limit": "65536"')


def log_link(definition: Definition) -> Iterator[Finding]:
    """Look whether the worker is told where its router writes."""
    worker = worker_of(definition)
    log, told = worker.get("logConfiguration") or {}, environment_of(worker)
    if log.get("logDriver") != "awsfirelens":
        return
    for name, option in _LINK.items():
        wanted = log.get("options", {}).get(option)
        if told.get(name) != wanted:
            what, line = (
                f"{name} is {told.get(name)!r} and {option} {wanted!r}",
                f'{{"name": "{name}", "value": "{wanted}"}}',
            )
            yield codes.LOG_LINK.at(place(worker, "environment"), what, line)


def agent(definition: Definition) -> Iterator[Finding]:
    """Look at what the Datadog Agent is told."""
    for container in definition["containerDefinitions"]:
        if "datadog/agent" not in container["image"]:
            continue
        environment = environment_of(container)
        for name, code in (
            ("ECS_FARGATE", codes.AGENT_NOT_FARGATE),
            ("DD_DOGSTATSD_FLUSH_INCOMPLETE_BUCKETS", codes.AGENT_DROPS_LAST),
        ):
            if environment.get(name) != "true":
                line = f'{{"name": "{name}", "value": "true"}}'
                yield code.at(place(container, "environment"), f"{name} is {environment.get(name)!r}", line)
        yield from _flush(container, environment)


def _flush(container: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[Finding]:
    """Compare what the agent gives itself to flush with what ECS gives it to stop."""
    flush = sum(_seconds(environment.get(name)) for name in _FLUSHES)
    stop = container.get("stopTimeout") or _STOP_UNASKED_S
    if flush >= stop:
        what = f"{' + '.join(_FLUSHES)} is {flush:g} s, of {stop} s"
        yield codes.AGENT_CUT_OFF.at(
            place(container, "stopTimeout"), what, f'"stopTimeout": {min(120, int(flush) + 10)}'
        )


def _seconds(text: str | None) -> float:
    try:
        return float(text or _FLUSH_UNASKED_S)
    except ValueError:  # a variable that is not filled in, or the agent's to refuse
        return _FLUSH_UNASKED_S
