"""A task definition as RegisterTaskDefinition takes it: its form, and the ways into it."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec

Definition: TypeAlias = Mapping[str, Any]
"""A task definition; what is still a `${VARIABLE}` in it is not known."""

WORKER = "worker"
"""The name of the container that works; overrides address it by this name."""


class _Named(msgspec.Struct):
    name: str


class _Pair(_Named):
    value: str


class _Secret(_Named, rename="camel"):
    value_from: str


class _After(msgspec.Struct, rename="camel"):
    container_name: str
    condition: str


class _Options(msgspec.Struct):
    options: dict[str, str] = {}


class _Log(_Options, rename="camel"):
    log_driver: str | None = None


class _Linux(msgspec.Struct, rename="camel"):
    init_process_enabled: bool | None = None


class _Container(_Named, rename="camel"):
    image: str
    command: list[str] = []
    essential: bool | None = None
    memory: int = 0
    stop_timeout: int | None = None
    depends_on: list[_After] = []
    environment: list[_Pair] = []
    secrets: list[_Secret] = []
    linux_parameters: _Linux | None = None
    log_configuration: _Log | None = None
    firelens_configuration: _Options | None = None


class _Definition(msgspec.Struct, rename="camel"):
    container_definitions: list[_Container]
    family: str = ""
    cpu: str = "0"
    memory: str = "0"
    requires_compatibilities: list[str] = []
    runtime_platform: dict[str, str] | None = None


def malformed(document: Any) -> str | None:
    """Say what keeps a document from being read as a task definition; None where nothing does."""
    try:
        msgspec.convert(document, _Definition)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def worker_of(definition: Definition) -> Mapping[str, Any]:
    """Give the container that works."""
    return next(container for container in definition["containerDefinitions"] if container["name"] == WORKER)


def environment_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Give a container's plain environment."""
    return {pair["name"]: pair["value"] for pair in container.get("environment", ())}


def is_known(value: str) -> bool:
    """Tell whether a value is filled in."""
    return "${" not in value


def place(container: Mapping[str, Any], *within: str) -> str:
    """Name a place in a container."""
    return ".".join((f"containerDefinitions[{container['name']}]", *within))
