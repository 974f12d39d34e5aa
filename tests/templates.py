"""What a CloudFormation template of this repository comes to with parameters given: Ref, GetAtt, If, Sub, Join, Select, Split, ImportValue, and its conditions.

moto's CloudFormation makes neither schedules nor what stands under a condition that does not hold.
"""

import re
from functools import cache
from typing import Any

from cfnlint.decode import cfn_yaml  # type: ignore[import-untyped]
from definitions import ROOT


@cache
def _loaded(name: str) -> Any:
    return cfn_yaml.load(str(ROOT / "task-definitions" / f"{name}.yaml"))


class Template:
    """A template; `values` are parameters by name and attributes as `Resource.Attribute`, imports by their names."""

    def __init__(self, name: str, **values: str) -> None:
        self._template = _loaded(name)
        defaults = {name: str(about.get("Default", "")) for name, about in self._template["Parameters"].items()}
        self._values = defaults | values

    def properties(self, resource: str, *path: str) -> Any:
        """Give what stands there in a resource's properties, with every function in it resolved."""
        node = self._template["Resources"][resource]["Properties"]
        for name in path:
            node = node[int(name) if isinstance(node, list) else name]
        return self._resolved(node)

    def _resolved(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._resolved(value) for value in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, said)] = node.items()
            if name == "Ref":
                return self._values[said]
            if name == "Fn::GetAtt":
                return self._values[".".join(said)]
            if name == "Fn::If":
                return self._resolved(said[1] if self._holds({"Condition": said[0]}) else said[2])
            if name == "Fn::Sub":
                return self._substituted(said)
            if name == "Fn::ImportValue":
                return self._values[self._resolved(said)]
            if name == "Fn::Select":
                return self._resolved(said[1])[int(said[0])]
            if name == "Fn::Split":
                return self._resolved(said[1]).split(said[0])
            if name == "Fn::Join":
                delimiter, parts = said[0], self._resolved(said[1])
                return parts if isinstance(parts, str) else delimiter.join(parts)
        return {name: self._resolved(value) for name, value in node.items()}

    def _holds(self, condition: Any) -> bool:
        [(name, said)] = condition.items()
        if name == "Condition":
            return self._holds(self._template["Conditions"][said])
        if name == "Fn::Equals":
            first, second = self._resolved(said)
            return bool(str(first) == str(second))
        each = [self._holds(one) for one in said]
        return not each[0] if name == "Fn::Not" else any(each) if name == "Fn::Or" else all(each)

    def _substituted(self, said: Any) -> str:
        text, own = (said, {}) if isinstance(said, str) else (said[0], self._resolved(said[1]))
        return re.sub(r"\$\{(\w+)\}", lambda match: str((self._values | own)[match[1]]), text)
