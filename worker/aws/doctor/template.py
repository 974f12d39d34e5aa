"""A CloudFormation template as it is written: its short tags, its parameters, its resources."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from worker.errors import Faults

_PLAIN = ("Ref", "Condition")
_VARIABLE = re.compile(r"\$\{([^}!]+)\}")


class Resource(NamedTuple):
    """One resource of a template."""

    name: str
    type: str
    properties: Mapping[str, Any]

    def place(self, *within: str | int) -> str:
        """Name a place in it."""
        return ".".join(map(str, ("Resources", self.name, "Properties", *within)))


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template; `values` are what its parameters are known to be."""

    file: str
    resources: tuple[Resource, ...]
    defaults: Mapping[str, str]
    values: Mapping[str, str]

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
            case {"Ref": name}:
                return known.get(name) or None
            case {"Fn::Sub": str(text)}:
                return _VARIABLE.sub(lambda found: known.get(found[1]) or found[0], text)
        return None

    def number(self, node: Any) -> float | None:
        """Give the number that a node stands for; None where it is not known."""
        text = self.text(node)
        return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text) else None


def read(file: str, text: str) -> Template:
    """Parse a template. Raises Faults where it is none, or where PyYAML is not installed."""
    document = _parsed(file, text)
    resources = document.get("Resources") if isinstance(document, dict) else None
    if not isinstance(resources, dict) or not all(
        isinstance(one, dict) and "Type" in one for one in resources.values()
    ):
        raise Faults([f"{file} has no Resources, each with its Type: it is no CloudFormation template"])
    return Template(
        file,
        tuple(Resource(name, one["Type"], one.get("Properties") or {}) for name, one in resources.items()),
        {name: str(one.get("Default", "")) for name, one in (document.get("Parameters") or {}).items()},
        {},
    )


def either(node: Any, path: str = "") -> Iterator[tuple[Any, str]]:
    """Give what a node may be, each with its path: both branches where a condition decides, every item of a list."""
    if isinstance(node, dict) and "Fn::If" in node:
        for number, branch in enumerate(node["Fn::If"][1:], 1):
            yield from either(branch, f"{path}.Fn::If.{number}")
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from either(item, f"{path}.{number}")
    elif not (isinstance(node, dict) and node.get("Ref") == "AWS::NoValue"):
        yield node, path


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


def _parsed(file: str, text: str) -> Any:
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
        raise Faults([f"{file} is no YAML: {' '.join(str(error).split())}"]) from error
