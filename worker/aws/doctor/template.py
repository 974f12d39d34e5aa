"""A CloudFormation template as it is written: its short tags, its parameters, its resources."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import msgspec

from worker.errors import Faults

_PLAIN = ("Ref", "Condition")
_VARIABLE = re.compile(r"\$\{([^}!]+)\}")


class Resource(NamedTuple):
    """One resource of a template."""

    name: str
    type: str
    properties: Mapping[str, Any]
    condition: str | None = None

    def place(self, *within: str | int) -> str:
        """Name a place in it."""
        return ".".join(map(str, ("Resources", self.name, "Properties", *within)))


class _Resource(msgspec.Struct, rename="pascal"):
    type: str
    condition: str | None = None
    properties: dict[str, Any] = {}


class _Parameter(msgspec.Struct, rename="pascal"):
    default: str | int | float = ""


class _Written(msgspec.Struct, rename="pascal"):
    resources: dict[str, _Resource]
    parameters: dict[str, _Parameter] = {}
    conditions: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; `values` are what its parameters are known to be."""

    file: str
    resources: tuple[Resource, ...]
    conditions: Mapping[str, Any]
    defaults: Mapping[str, str]
    values: Mapping[str, str]

    def stands(self, resource: Resource) -> bool:
        """Tell whether a resource is there with these values; yes, where that is not known."""
        return resource.condition is None or self._holds({"Condition": resource.condition}) is not False

    def _holds(self, condition: Any) -> bool | None:
        match condition:
            case {"Condition": str(name)}:
                return self._holds(self.conditions.get(name))
            case {"Fn::Equals": [one, other]}:
                known = self.text(one), self.text(other)
                return None if None in known else known[0] == known[1]
            case {"Fn::Not": [inner]}:
                held = self._holds(inner)
                return None if held is None else not held
            case {"Fn::And": [*each]}:
                return _all([self._holds(inner) for inner in each])
            case {"Fn::Or": [*each]}:
                none = _all([None if held is None else not held for held in map(self._holds, each)])
                return None if none is None else not none
        return None

    def of_type(self, *types: str) -> Iterator[Resource]:
        """Find the resources of these types."""
        return (resource for resource in self.resources if resource.type in types)

    def given(self, values: Mapping[str, str]) -> "Template":
        """Give the template with these values for its parameters; those that it has not are left out."""
        return replace(self, values={name: value for name, value in values.items() if name in self.defaults})

    def text(self, node: Any, *, defaults: bool = True) -> str | None:
        """Give the text or number that a node stands for; None where it is not known before it is deployed."""
        known = {**(self.defaults if defaults else {}), **self.values}
        match node:
            case str() | int() | float():
                return str(node)
            case {"Ref": str(name)}:
                return known.get(name) or None
            case {"Fn::Sub": str(text)}:
                return _VARIABLE.sub(lambda found: known.get(found[1]) or found[0], text)
        return None

    def number(self, node: Any) -> float | None:
        """Give the number that a node stands for; None where it is not known."""
        text = self.text(node)
        return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text) else None


def read(file: str, text: str) -> Template:
    """Parse a template. Raises ValueError where it is none, Faults where PyYAML is not installed."""
    try:
        written = msgspec.convert(_parsed(text), _Written)
    except msgspec.ValidationError as error:
        raise ValueError(f"is no CloudFormation template: {error}") from error
    resources = (Resource(name, one.type, one.properties, one.condition) for name, one in written.resources.items())
    defaults = {name: str(one.default) for name, one in written.parameters.items()}
    return Template(file, tuple(resources), written.conditions, defaults, {})


def _all(held: Sequence[bool | None]) -> bool | None:
    """Tell whether all hold; None where it depends on what is not known."""
    return False if False in held else None if None in held else True


def either(node: Any, path: str = "") -> Iterator[tuple[Any, str]]:
    """Give what a node may be, each with its path: both branches where a condition decides, every item of a list."""
    if isinstance(node, dict) and isinstance(node.get("Fn::If"), list):
        for number, branch in enumerate(node["Fn::If"][1:], 1):
            yield from either(branch, f"{path}.Fn::If.{number}")
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from either(item, f"{path}.{number}")
    elif not (isinstance(node, dict) and node.get("Ref") == "AWS::NoValue"):
        yield node, path


def mappings(node: Any, path: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Give of what a node may be the mappings; what is none where one should be is cfn-lint's to say."""
    return ((branch, where) for branch, where in either(node, path) if isinstance(branch, dict))


def says(node: Any, key: str) -> bool:
    """Tell whether a node has this key, in every branch."""
    branches = [branch for branch, _ in either(node or [])]
    return bool(branches) and all(isinstance(branch, dict) and branch.get(key) is not None for branch in branches)


def texts(node: Any) -> Iterator[str]:
    """Give every text within a node."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def _parsed(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise Faults(
            [f"stacks cannot be read without PyYAML: pip install 'ecs-batch-worker[doctor]' ({error})"]
        ) from error

    class Loader(yaml.SafeLoader):
        """Know CloudFormation's short tags: `!Sub x` is {"Fn::Sub": x}."""

    def short(loader: Loader, tag: str, node: Any) -> dict[str, Any]:
        value: Any = None
        if isinstance(node, yaml.ScalarNode):
            value = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            value = loader.construct_sequence(node, deep=True)
        else:
            value = loader.construct_mapping(node, deep=True)
        if tag == "GetAtt" and isinstance(value, str):
            value = value.split(".", 1)
        return {tag if tag in _PLAIN else f"Fn::{tag}": value}

    Loader.add_multi_constructor("!", short)
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML: {' '.join(str(error).split())}") from error
