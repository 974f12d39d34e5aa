"""Fill a task definition's ${VARIABLES} in, and print it only if nothing in it would hurt.

::

    python -m worker.aws.task_definition task-definitions/poll-payments.json production.env IMAGE=…

The file has NAME=value a line, and may have more than this definition uses: it is for all jobs.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.aws import given
from worker.aws.definition_faults import faults
from worker.errors import Faults

RELEASED = frozenset({"IMAGE", "EXECUTION_ROLE_ARN", "TASK_ROLE_ARN"})
"""Variables that `make deploy` gives: the image that was pushed, and the roles of the job's stack."""

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_USAGE = "usage: python -m worker.aws.task_definition FILE [values.env] [NAME=value…]"


def variables(text: str) -> list[str]:
    """Name the variables of a task definition, in the order in which they first occur."""
    return list(dict.fromkeys(_VARIABLE.findall(text)))


def render(text: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Give the task definition with its variables filled in.

    Raises Faults naming every variable without a value, and every value that no variable takes.
    """
    known = variables(text)
    wrong = [f"${{{name}}} has no value: add {name}=…" for name in known if not values.get(name)]
    wrong += [
        f"{name}=… is not used; the variables are {', '.join(known) or 'none'}" for name in values if name not in known
    ]
    if wrong:
        raise Faults(wrong)
    filled: dict[str, Any] = fill(json.loads(text), values)
    return filled


def fill(node: Any, values: Mapping[str, str]) -> Any:
    """Fill in a parsed document, so that no value can break its JSON; variables without a value stay."""
    if isinstance(node, dict):
        return {key: fill(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, values) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda match: values.get(match[1], match[0]), node)
    return node


def main(arguments: Sequence[str]) -> int:
    """Print the filled-in JSON and give 0; on faults, say all of them on stderr and give 2."""
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(f"{_USAGE}\n\n{__doc__}")
        return 0
    try:
        definition = _checked(*_parsed(arguments))
    except Faults as error:
        sys.stderr.write("".join(f"{fault}\n" for fault in error.faults))
        return 2
    sys.stdout.write(json.dumps(definition, indent=2) + "\n")
    return 0


def _parsed(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    if not arguments or any(argument.startswith("-") for argument in arguments):
        raise Faults([_USAGE])
    try:
        text = Path(arguments[0]).read_text(encoding="utf-8")
    except OSError as error:
        raise Faults([f"{arguments[0]} cannot be read: {error.strerror}", _USAGE]) from error
    common, own = given.read(arguments[1:])
    return text, {name: common[name] for name in variables(text) if name in common} | own


def _checked(text: str, values: Mapping[str, str]) -> dict[str, Any]:
    definition = render(text, values)
    found = faults(definition)
    if found:
        raise Faults(found)
    return definition


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
