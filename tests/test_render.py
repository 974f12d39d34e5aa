"""Filling a task definition's variables in."""

import json
from pathlib import Path

import pytest
from definitions import FILES, ROOT, values

from worker.aws.task_definition import main, render, variables
from worker.errors import Faults

TEXT = '{"a": ["${ONE}", "x-${TWO}-${ONE}"], "b": 3, "c": "$plain"}'


def test_render_names_its_variables_once() -> None:
    """Each variable is named once, in order."""
    assert variables(TEXT) == ["ONE", "TWO"]


def test_render_fills_every_string() -> None:
    """Variables are filled in wherever a string holds them; what is no variable stays."""
    assert render(TEXT, {"ONE": "1", "TWO": "2"}) == {"a": ["1", "x-2-1"], "b": 3, "c": "$plain"}


def test_render_value_cannot_break_the_json() -> None:
    """A value with quotes, backslashes or a variable's look is taken as it is."""
    assert render('{"a": "${ONE}"}', {"ONE": '"\\ ${TWO}'}) == {"a": '"\\ ${TWO}'}


def test_render_without_values_says_all_faults_at_once() -> None:
    """A missing value, an empty one and one that nobody takes are all named."""
    with pytest.raises(Faults) as raised:
        render(TEXT, {"ONE": "", "TREE": "3"})
    assert [fault.partition(" ")[0] for fault in raised.value.faults] == ["${ONE}", "${TWO}", "TREE=…"]


@pytest.mark.parametrize("name", FILES)
def test_render_prints_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints the filled-in definition, and nothing else, on stdout."""
    given = values(FILES[name].read_text(encoding="utf-8"))
    assert main([str(FILES[name]), *(f"{key}={value}" for key, value in given.items())]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["family"] == name
    assert printed.err == ""


def test_render_takes_a_file_of_all_jobs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What other jobs need is no fault in a file; what is said on the command line wins."""
    given = values(FILES["poll-payments"].read_text(encoding="utf-8"))
    common = tmp_path / "production.env"
    common.write_text("".join(f"{key}={value}\n" for key, value in {**given, "REPORTS_BUCKET": "reports"}.items()))
    assert main([str(FILES["poll-payments"]), str(common), "IMAGE=other:2"]) == 0
    assert json.loads(capsys.readouterr().out)["containerDefinitions"][0]["image"] == "other:2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: "),
        (["FILE", "--help"], "usage: "),
        (["nowhere.json"], "nowhere.json cannot be read: No such file or directory"),
        (["FILE"], "${EXECUTION_ROLE_ARN} has no value: add EXECUTION_ROLE_ARN=…"),
    ],
)
def test_render_refuses(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong use ends with 2, a word on stderr, and nothing on stdout that a pipe could register."""
    file = str(FILES["poll-payments"])
    assert main([file if argument == "FILE" else argument for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_render_helps(capsys: pytest.CaptureFixture[str]) -> None:
    """--help says what it does and how it is called, with 0."""
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: python -m worker.aws.task_definition FILE [values.env] [NAME=value…]")
    assert "task-definitions/poll-payments.json" in printed


def test_render_that_would_hurt_is_not_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What ECS would accept and the checks do not is refused before it is registered."""
    text = FILES["poll-payments"].read_text(encoding="utf-8")
    broken = tmp_path / "broken.json"
    broken.write_text(text.replace('"essential": false', '"essential": true'), encoding="utf-8")
    assert main([str(broken), *(f"{key}={value}" for key, value in values(text).items())]) == 2
    printed = capsys.readouterr()
    assert printed.err.count('essential: is true; mend: "essential": false') == 2
    assert printed.out == ""


@pytest.mark.parametrize("name", FILES)
def test_render_variables_are_documented(name: str) -> None:
    """docs/ecs.md says what every variable is."""
    page = (ROOT / "docs" / "ecs.md").read_text(encoding="utf-8")
    assert [each for each in variables(FILES[name].read_text(encoding="utf-8")) if f"`{each}`" not in page] == []
