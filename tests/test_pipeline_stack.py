"""The pipeline's stack: what cfn-lint does not see in its state machine, and that its parameters are those of its jobs."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonata.jsonata import Jsonata
from pipeline_room import definition_of
from stacks import FOLDER, PIPELINE
from templates import Template

from worker import registry
from worker.aws.doctor.delivery import undelivered
from worker.aws.doctor.template import read
from worker.aws.pipeline_parameters import main, patience_s

GIVEN = {
    "batch-cluster": "arn:aws:ecs:eu-central-1:123456789012:cluster/batch",
    "PrivateSubnetIds": "subnet-1,subnet-2",
    "batch-worker-security-group": "sg-1",
    "batch-alerts": "arn:aws:sns:eu-central-1:123456789012:batch-alerts",
    "Completed": "arn:aws:sns:eu-central-1:123456789012:orders-completed",
}
MACHINE = json.loads(definition_of(**GIVEN))
DEFAULTS = {name: str(about.get("Default")).split(",") for name, about in PIPELINE["Parameters"].items()}


def flows(flow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give a flow of states and those within its Maps."""
    yield flow
    for state in flow["States"].values():
        if "ItemProcessor" in state:
            yield from flows(state["ItemProcessor"])


def onwards(node: Any) -> Iterator[str]:
    """Name the states that follow a state: by Next, Default, a Choice or a Catch."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in ("Next", "Default"):
            yield value
        elif key in ("Choices", "Catch"):
            for each in value:
                yield from onwards(each)


def expressions(node: Any) -> Iterator[str]:
    """Give every JSONata expression."""
    if isinstance(node, str) and node.startswith("{%"):
        yield node[2:-2]
    elif isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from expressions(value)


def assigned(node: Any) -> set[str]:
    """Name all variables that are assigned somewhere."""
    if not isinstance(node, dict | list):
        return set()
    values = list(node.values()) if isinstance(node, dict) else node
    own = set(node.get("Assign", ())) if isinstance(node, dict) else set()
    return own.union(*map(assigned, values)) if values else own


def test_pipeline_stack_reaches_every_state_and_no_other() -> None:
    """Each state is the first one or follows another; nothing leads to a state that is not there."""
    for flow in flows(MACHINE):
        reached = {flow["StartAt"], *(name for state in flow["States"].values() for name in onwards(state))}
        assert reached == set(flow["States"])


def test_pipeline_stack_catches_what_a_task_may_raise() -> None:
    """No call of another service ends the execution by itself: whatever it raises is caught."""
    for flow in flows(MACHINE):
        for name, state in flow["States"].items():
            if state["Type"] == "Task":
                assert ["States.ALL"] in [each["ErrorEquals"] for each in state["Catch"]], name


def test_pipeline_stack_says_jsonata_that_can_be_read() -> None:
    """Each expression is JSONata, of variables that are assigned; no variable hides a function of JSONata's."""
    known = assigned(MACHINE)
    hidden = {name for name in known if Jsonata("$x").static_frame.lookup(name) is not None}
    assert hidden == set()
    for expression in expressions(MACHINE):
        Jsonata(expression)
        own = set(re.findall(r"\$(\w+)\s*:=", expression)) | {
            name for each in re.findall(r"function\(([^)]*)\)", expression) for name in re.findall(r"\w+", each)
        }
        used = set(re.findall(r"\$(\w+)\b(?!\s*\()", re.sub(r"'[^']*'", "''", expression)))
        assert used <= known | own | {"states"}, expression


def test_pipeline_stack_is_clean_where_cfn_lint_must_look_away(tmp_path: Path) -> None:
    """With a number for the timeout, which it does not know that JSONata may compute, cfn-lint finds nothing in the state machine."""
    text = (FOLDER / "pipeline.yaml").read_text()
    text = re.sub(r"TimeoutSeconds: \"\{%.*", "TimeoutSeconds: 60", re.sub(r"\n    Metadata: \{cfn-lint.*", "", text))
    assert text.count("TimeoutSeconds: 60") == 1
    assert "ignore_checks" not in text
    (tmp_path / "pipeline.yaml").write_text(text)
    lint = [str(Path(sys.executable).with_name("cfn-lint")), str(tmp_path / "pipeline.yaml")]
    done = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_pipeline_stack_runs_the_orders_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """The defaults are what the command derives for the three steps."""
    assert main(["orders", *DEFAULTS["Steps"]]) == 0
    derived = dict(each.split("=") for each in json.loads(capsys.readouterr().out))
    assert {name: value.split(",") for name, value in derived.items()} == {name: DEFAULTS[name] for name in derived}


def test_pipeline_parameters_give_a_task_time_to_follow_another() -> None:
    """The job's own deadline is to end it, not Step Functions, also where it has waited for another attempt first."""
    job = registry.load("extract-orders")
    assert patience_s(job) > 2 * job.timeout.total_seconds()


def test_pipeline_parameters_say_all_faults(capsys: pytest.CaptureFixture[str]) -> None:
    """A job that is not there, one that has no date, shards that are none: all at once, and nothing is printed."""
    assert main(["orders", "extract-order", "poll-payments", "load-orders:0"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    for said in ("did you mean 'extract-orders'?", "poll-payments: its scope has no date", "load-orders:0: '0' shards"):
        assert said in printed.err


def test_pipeline_stack_hands_the_scheduled_time_over() -> None:
    """The schedule's input is what the first state takes the date from."""
    handed = Template("pipeline", **GIVEN).properties("Start", "Target", "Input")
    assert json.loads(handed) == {"time": "<aws.scheduler.scheduled-time>"}
    date = MACHINE["States"]["Date"]["Assign"]["date"][2:-2]
    for time, day in (("2026-03-01T00:30:00Z", "2026-02-28"), ("2028-03-01T23:59:59.000Z", "2028-02-29")):
        assert Jsonata(f'($states := {{"input": {{"time": "{time}"}}}}; {date})').evaluate(None) == day


def test_pipeline_stack_is_looked_at_by_the_doctor() -> None:
    """Without a queue for starts that could not be made, the schedule is found."""
    text = (FOLDER / "pipeline.yaml").read_text()
    assert list(undelivered(read("pipeline.yaml", text))) == []
    lost = re.sub(r"\n        DeadLetterConfig: .*", "", text)
    assert [finding.path for finding in undelivered(read("pipeline.yaml", lost))] != []
