"""docs/launcher.md: its commands are run, its requests are taken, its code is a job's."""

import json
import re
import shlex

import pytest
from test_documents import ROOT, commands

from worker import Backlog, ObjectCreated, Size
from worker.aws.inbox import requests
from worker.cli.arguments import command_parser
from worker.cli.launch import asked
from worker.launches import Launched
from worker.registry import load
from worker.request import FIELDS, read

PAGE = (ROOT / "docs" / "launcher.md").read_text(encoding="utf-8")
COMMANDS = sorted({command for _, command in commands() if command.startswith("python -m worker launch")})


@pytest.mark.parametrize("command", COMMANDS)
def test_launcher_document_commands_ask_for_runs(command: str) -> None:
    """Each is taken by the parser, and by its job (tests/test_launch_whole.py runs such a command)."""
    options = command_parser("launch").parse_args(shlex.split(command)[4:])
    request = read(asked(options), load)
    assert request.backlog == options.backlog
    assert not request.backlog or request.job.backlog


def test_launcher_document_requests_are_taken() -> None:
    """The schedule's input, with its time filled in; and the fields are named, all of them."""
    written = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert written
    for text in written:
        read(json.loads(text.replace("<aws.scheduler.scheduled-time>", "2026-11-23T02:00:00Z")), load)
    assert {name for name in FIELDS if f"`{name}`" not in PAGE} == set()


def test_operations_ask_the_launcher_function_for_what_it_takes() -> None:
    """What is pasted at night, where no shell reaches the run store."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    [payload] = re.findall(r"--payload '(.*)'", page)
    [request] = requests(json.loads(payload), [], load)
    assert read(request, load).trigger == "hand"


def test_launcher_document_declarations_are_those_of_jobs() -> None:
    """What a job file may say is what the jobs here do say."""
    names = {"ObjectCreated": ObjectCreated, "Backlog": Backlog, "Size": Size}
    said = [eval(text, names) for text in re.findall(r"= ((?:ObjectCreated|Backlog|Size)\([^)]*\))", PAGE)]
    assert load("digest-uploads").on_object in said
    assert load("deliver-webhooks").backlog in said
    assert any(isinstance(each, Size) for each in said)
    assert Launched.__name__ in PAGE
