"""The task definitions of this repository, filled in as a release would."""

from pathlib import Path
from typing import Any

from worker.aws.task_definition import render, variables

ROOT = Path(__file__).parent.parent
FILES = {file.stem: file for file in sorted((ROOT / "task-definitions").glob("*.json"))}

_VALUES = {"IMAGE": "example/ecs-batch-worker:1.2.3", "AWS_REGION": "eu-central-1", "DD_SITE": "datadoghq.eu"}


def values(text: str) -> dict[str, str]:
    """Give every variable of a task definition a value of its kind."""
    return {name: _VALUES.get(name, _arn(name) if name.endswith("_ARN") else "test") for name in variables(text)}


def shown_values() -> str:
    """Give the file of values that docs/ecs.md begins with."""
    page = (ROOT / "docs" / "ecs.md").read_text(encoding="utf-8")
    return page.partition("Write `production.env`:\n\n```\n")[2].partition("```")[0]


def filled(name: str) -> dict[str, Any]:
    """Give a task definition with all its variables filled in."""
    text = FILES[name].read_text(encoding="utf-8")
    return render(text, values(text))


def container(definition: dict[str, Any], name: str) -> dict[str, Any]:
    """Find a container by its name."""
    found: dict[str, Any] = next(each for each in definition["containerDefinitions"] if each["name"] == name)
    return found


def _arn(name: str) -> str:
    service, kind = ("iam", "role/") if name.endswith("ROLE_ARN") else ("secretsmanager", "secret:")
    return f"arn:aws:{service}:eu-central-1:123456789012:{kind}{name.lower()}"
