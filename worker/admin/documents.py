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


def whole(
    view: RunView, started: Started | None, blocks: Blocks, limits: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Give all that is known of a run: `live` while its process is one of ours, `errors` by group, `slack` once it has ended.

    `series` is what its process has said over time, `limit` the calls a second it may send: by its own words, else by `limits`,
    those of its job.
    """
    document = _plain(view)
    said = started.live if started is not None else None
    working = said if view.live else None
    summary: Mapping[str, Any] = view.summary or {}
    return {
        **document,
        "live": working.progress if working else None,
        "series": said.series if said else [],
        "limit": _limit((working and working.limits) or (summary.get("start") or {}).get("limits") or limits or {}),
        "errors": working.errors if working else [_group(group) for group in summary.get("errors", ())],
        "slack": blocks(summary) if summary else [],
    }


def letter(view: LetterView) -> dict[str, Any]:
    """Give a failed record."""
    result: dict[str, Any] = msgspec.to_builtins(view)
    return result


def _limit(limits: Mapping[str, Any]) -> float | None:
    rate = limits.get("rate")
    return rate["count"] / rate["per"] if rate else None


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    return {name: group.get(name) for name in ("type", "message", "count", "sample_key")}


def _plain(view: RunView) -> dict[str, Any]:
    result: dict[str, Any] = msgspec.to_builtins(view)
    return result
