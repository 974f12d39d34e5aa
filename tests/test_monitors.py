"""The Datadog monitors: bodies that POST /api/v1/monitor takes, on metrics and tags that somebody emits."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from definitions import ROOT

from worker.report import metrics

FOLDER = ROOT / "task-definitions" / "monitors"
MONITORS = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}
UNVERIFIED = "ecs-tasks-stopped"

QUERY = re.compile(
    r"(avg|sum|min|max)\(last_(\d+[mhd])\):(avg|sum|min|max|count):(?P<metric>[a-z][\w.]*)"
    r"\{(?P<filter>[^}]*)\} by \{(?P<by>[^}]*)\}\.as_count\(\) (>|>=|<|<=) (?P<threshold>-?\d+(\.\d+)?)"
)
EMITTED: Mapping[str, set[str]] = {
    **{metric.name: {*metrics.COMMON_TAGS, *metric.tags} for metric in metrics.METRICS},
    **{metric.name: {"env", *metric.tags} for metric in metrics.WATCHED},
}

# "Create a monitor" (Datadog API reference, v1), as far as these monitors go.
BODY: Mapping[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str) and len(value) > 0,
    "type": lambda value: value in ("metric alert", "query alert"),
    "query": lambda value: bool(QUERY.fullmatch(value)),
    "message": lambda value: isinstance(value, str),
    "tags": lambda value: all(re.fullmatch(r"[a-z][\w:./-]{0,199}", tag) for tag in value),
    "priority": lambda value: value in range(1, 6),
    "draft_status": lambda value: value in ("draft", "published"),
    "options": lambda value: all(OPTIONS[key](option) for key, option in value.items()),
}
OPTIONS: Mapping[str, Callable[[Any], bool]] = {
    "thresholds": lambda value: value.keys() <= {"ok", "critical", "warning", "critical_recovery", "warning_recovery"},
    "include_tags": lambda value: isinstance(value, bool),
    "notify_no_data": lambda value: isinstance(value, bool),
    "require_full_window": lambda value: isinstance(value, bool),
    "evaluation_delay": lambda value: value >= 0,
    "new_group_delay": lambda value: value >= 0,
    "renotify_interval": lambda value: value >= 0,
}


def faults(monitor: Mapping[str, Any]) -> list[str]:
    """Name the fields that the API would refuse, or lacks."""
    wrong = [key for key, value in monitor.items() if key not in BODY or not BODY[key](value)]
    return wrong + [key for key in ("name", "type", "query", "message") if key not in monitor]


def asked(monitor: Mapping[str, Any]) -> re.Match[str]:
    """Take a monitor's query apart."""
    found = QUERY.fullmatch(monitor["query"])
    assert found
    return found


@pytest.mark.parametrize("name", MONITORS)
def test_monitor_is_what_the_api_takes(name: str) -> None:
    """Known fields of the right kinds, and a threshold that is the query's."""
    monitor = MONITORS[name]
    assert faults(monitor) == []
    assert monitor["options"]["thresholds"]["critical"] == float(asked(monitor)["threshold"])


@pytest.mark.parametrize(
    ("key", "value"),
    [("query", "sum:batch.task.stopped > 0"), ("type", "metric"), ("tags", ["Has Space"]), ("mesage", "")],
)
def test_monitor_with_a_fault_is_found(key: str, value: Any) -> None:
    """Each check finds what it is there for."""
    assert faults({**MONITORS["stopped-tasks"], key: value}) == [key]


@pytest.mark.parametrize("name", MONITORS)
def test_monitor_message_names_groups_of_its_query(name: str) -> None:
    """A variable of a group that the query does not make would stay empty."""
    monitor = MONITORS[name]
    named = set(re.findall(r"\{\{(\w+)\.name\}\}", monitor["name"] + monitor["message"]))
    assert named <= set(asked(monitor)["by"].split(","))


@pytest.mark.parametrize("name", [name for name in MONITORS if name != UNVERIFIED])
def test_monitor_stands_on_what_is_emitted(name: str) -> None:
    """Metric and tags are those of the code: a monitor of anything else is silent for ever."""
    query = asked(MONITORS[name])
    filtered = {part.lstrip("!").partition(":")[0] for part in query["filter"].split(",")}
    assert filtered | set(query["by"].split(",")) <= EMITTED[query["metric"]]


def test_monitor_that_is_unverified_is_off() -> None:
    """It says so, is a draft, and would tell nobody even if its account knows no drafts."""
    monitor = MONITORS[UNVERIFIED]
    assert asked(monitor)["metric"] == "aws.ecs.tasks_stopped"
    assert asked(monitor)["by"] == "family,exit_code"
    assert "UNVERIFIED" in monitor["name"]
    assert monitor["draft_status"] == "draft"
    assert "@" not in monitor["message"]
    assert MONITORS["stopped-tasks"].get("draft_status", "published") == "published"
