"""A run as JSON: what the run store has, what its process says while it works, and its summary as Slack shows it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from worker.admin.ports import Blocks, Started
from worker.runs import LetterView, RunView

_NOT_LISTED = ("attempts", "parts", "summary")


def listed(view: RunView) -> dict[str, Any]:
    """Give a run as lists have it."""
    return {name: value for name, value in _plain(view).items() if name not in _NOT_LISTED}


def whole(view: RunView, started: Started | None, blocks: Blocks) -> dict[str, Any]:
    """Give all that is known of a run: `live` while its process is one of ours, `errors` by group, `slack` once it has ended."""
    document = _plain(view)
    working = started.live if started is not None and view.live else None
    summary: Mapping[str, Any] = view.summary or {}
    return {
        **document,
        "live": working.progress if working else None,
        "errors": working.errors if working else [_group(group) for group in summary.get("errors", ())],
        "slack": blocks(summary) if summary else [],
    }


def letter(view: LetterView) -> dict[str, Any]:
    """Give a failed record."""
    result: dict[str, Any] = msgspec.to_builtins(view)
    return result


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: group.get(name) for name in ("type", "message", "count", "sample_key")}


def _plain(view: RunView) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.to_builtins(view)
    return result
