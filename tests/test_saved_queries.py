"""The saved Logs Insights queries: of fields that the worker's lines really have, in words that Insights knows."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from examples import a_progress, a_summary, an_error
from logged import Logged, logging_to
from stacks import of_type

from worker.report.log_reporter import LogReporter

QUERIES = {name: one["QueryString"] for name, one in of_type("AWS::Logs::QueryDefinition").items()}
COMMANDS = {"fields", "filter", "limit", "sort", "stats"}
WORDS = {"and", "as", "asc", "avg", "by", "bin", "count", "desc", "ispresent", "latest", "max"}


def leaves(line: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give what Insights finds in a line: each value that is neither an object nor a list, by its dotted path."""
    if isinstance(line, dict):
        for name, value in line.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
    elif not isinstance(line, list):
        yield path, line


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """Give the lines of an attempt: progress, a kind of failures, the end."""
    with logging_to(Logged()) as logged:
        reporter = LogReporter()
        reporter.started(a_summary().start)
        reporter.progress(a_progress())
        reporter.failed(an_error(count=100))
        asyncio.run(reporter.ended(a_summary(detail="12 records failed"), 5))
    return [dict(leaves(line)) for line in logged.lines()]


def parts(query: str) -> list[tuple[str, str]]:
    """Take a query apart into its commands and what each is given."""
    return [(part.split()[0], part.strip().partition(" ")[2]) for part in re.split(r"\|", query)]


def read(query: str) -> set[str]:
    """Name the fields that a query reads from the lines, without the names that it gives itself."""
    own = set(re.findall(r"\bas (\w+)", query))
    named = {word for _, given in parts(query) for word in re.findall(r"@?[a-z_][\w.]*", given)}
    return {name for name in named - own - WORDS if not name.startswith("@")} - {"m"}


@pytest.mark.parametrize("name", QUERIES)
def test_saved_query_finds_what_it_asks_for(name: str, lines: list[dict[str, Any]]) -> None:
    """Lines pass its filter, and each field that it reads is in one of them, as a value and no object."""
    [asked] = [given for command, given in parts(QUERIES[name]) if command == "filter"]
    present = re.findall(r"ispresent\((\w+)\)", asked)
    passed = [line for line in lines if present and all(name in line for name in present)]
    assert passed
    assert read(QUERIES[name]) <= {field for line in passed for field in line}


@pytest.mark.parametrize("name", QUERIES)
def test_saved_query_is_in_the_language(name: str) -> None:
    """Each of its commands is one of Insights', and what it sorts by is a field or a name that it gave."""
    commands = dict(parts(QUERIES[name]))
    assert set(commands) <= COMMANDS
    by = commands["sort"].split()[0]
    assert by in {"@timestamp", *re.findall(r"\bas (\w+)", QUERIES[name])}


def test_saved_query_is_the_dashboard_s(lines: list[dict[str, Any]]) -> None:
    """The table of ends reads fields that are there, too."""
    [dashboard] = of_type("AWS::CloudWatch::Dashboard").values()
    [query] = re.findall(r"\"query\": \"SOURCE '[^']*' \| ([^\"]*)\"", dashboard["DashboardBody"]["Fn::Sub"])
    assert read(query) <= {field for line in lines for field in line}
