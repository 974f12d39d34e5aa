"""What ECS refuses of a task definition or a RunTask, and moto does not: sizes, lengths, forms (API reference, FARGATE: "Task size")."""

import json
import re
from collections.abc import Mapping
from typing import Any

from moto.ecs.exceptions import EcsClientException, InvalidParameterException

from worker.aws.definition_faults import FARGATE_SIZES, LONGEST_STOP

Asked = Mapping[str, Any]

FARGATE = ("FARGATE", "FARGATE_SPOT")
_TOKEN = re.compile(r"[!-~]{1,64}")
_STARTED_BY = re.compile(r"[A-Za-z0-9/_-]{1,128}|AWS Step Functions")
_LONGEST_OVERRIDES = 8_192


def check_definition(asked: Asked) -> None:
    """Refuse what Fargate cannot run. Raises moto's ClientException."""
    if "FARGATE" not in asked.get("requiresCompatibilities", ()):
        return
    if asked.get("networkMode") != "awsvpc":
        raise EcsClientException("Fargate only supports network mode ‘awsvpc’.")
    check_size(asked.get("cpu"), asked.get("memory"))
    for container in asked["containerDefinitions"]:
        if container.get("stopTimeout", 0) > LONGEST_STOP:
            raise EcsClientException(f"Fargate stopTimeout must not be longer than {LONGEST_STOP}s.")
    needed = sum(container.get("memory", 0) for container in asked["containerDefinitions"])
    if needed > int(asked["memory"]):
        raise EcsClientException("Invalid setting for container memory: more than the task's.")


def check_size(cpu: str | None, memory: str | None) -> None:
    """Refuse what is no size of Fargate."""
    if int(memory or 0) not in FARGATE_SIZES.get(int(cpu or 0), ()):
        raise EcsClientException(f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.")


def check_run(asked: Asked, definition: Any, providers: list[str]) -> None:
    """Refuse a RunTask. Raises moto's InvalidParameterException or ClientException."""
    overrides = asked.get("overrides", {})
    if not 1 <= asked.get("count", 1) <= 10:
        raise InvalidParameterException("Task count must be between 1 and 10.")
    if "clientToken" in asked and not _TOKEN.fullmatch(asked["clientToken"]):
        raise InvalidParameterException("clientToken must be 1 to 64 characters in the range of 33-126.")
    if "startedBy" in asked and not _STARTED_BY.fullmatch(asked["startedBy"]):
        raise InvalidParameterException("startedBy must be 1 to 128 letters, numbers, hyphens, slashes, underscores.")
    if len(json.dumps(overrides)) > _LONGEST_OVERRIDES:  # as the SDK sends it
        raise InvalidParameterException(f"Container Overrides length must be at most {_LONGEST_OVERRIDES}")
    _check_overrides(overrides, [container["name"] for container in definition.container_definitions])
    if _on_fargate(asked, providers):
        check_size(overrides.get("cpu", definition.cpu), overrides.get("memory", definition.memory))
        if "FARGATE" not in definition.compatibilities:
            raise InvalidParameterException("Task definition does not support launch_type FARGATE.")
    if definition.network_mode == "awsvpc":
        _check_network(asked.get("networkConfiguration", {}).get("awsvpcConfiguration"))


def _check_overrides(overrides: Asked, names: list[str]) -> None:
    for override in overrides.get("containerOverrides", ()):
        if override.get("name") not in names:
            raise InvalidParameterException(
                f"Override for container named {override.get('name')} is not a container in the TaskDefinition."
            )


def _on_fargate(asked: Asked, providers: list[str]) -> bool:
    strategy = asked.get("capacityProviderStrategy", ())
    if strategy and "launchType" in asked:
        raise InvalidParameterException("Specify either Launch Type or Capacity Provider Strategy, but not both.")
    for each in strategy:
        if each["capacityProvider"] not in providers:
            raise InvalidParameterException(
                f"The specified capacity provider '{each['capacityProvider']}' was not found."
            )
    if strategy:
        return bool(strategy[0]["capacityProvider"] in FARGATE)
    return bool(asked.get("launchType", "EC2") == "FARGATE")


def _check_network(network: Asked | None) -> None:
    """Want a security group too: real ECS would take the VPC's default one, with which no database lets a task in."""
    if not network or not network.get("subnets"):
        raise InvalidParameterException(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    if not network.get("securityGroups") or not 1 <= len(network["subnets"]) <= 16:
        raise InvalidParameterException("awsvpcConfiguration needs security groups, and 1 to 16 subnets.")
