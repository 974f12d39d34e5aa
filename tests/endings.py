"""Recorded ways for a task to end: the documented event, and what is different in each of them."""

import copy
import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).with_name("stopped")
_EVENT = json.loads((_FOLDER / "event.json").read_text())

ENDINGS: list[dict[str, Any]] = json.loads((_FOLDER / "endings.json").read_text())
"""`name`, `source` (where its words come from), what differs, and how it is to be judged."""

TASK = str(_EVENT["detail"]["taskArn"])


def an_event(name: str = "all done", **detail: Any) -> dict[str, Any]:
    """Give the event of the ending of that name, with these parts of its detail changed."""
    return event_of(next(ending for ending in ENDINGS if ending["name"] == name), **detail)


def event_of(ending: dict[str, Any], **detail: Any) -> dict[str, Any]:
    """Give the event of an ending."""
    event: dict[str, Any] = copy.deepcopy(_EVENT)
    event["detail"] |= ending["detail"] | detail
    exits = {"worker": ending["worker"]} | {
        name: {"exitCode": code} for name, code in ending.get("sidecars", {}).items()
    }
    for container in event["detail"]["containers"]:
        container |= exits.get(container["name"], {"exitCode": 0} if ending.get("started", True) else {})
    if not ending.get("started", True):
        del event["detail"]["startedAt"]
    return event
