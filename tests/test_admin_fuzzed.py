"""The admin API tried by its own OpenAPI document: no 500, no undocumented answer, no text of a caller in a statement of SQL."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from fuzzing import AFTER, HEADERS, KNOWN, MARK, SHARP, fuzzed, marked
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from schemathesis.core.result import Ok

from worker.local.postgres import Postgres

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
RUNS = st.sampled_from([None, KNOWN, f"greet-people:{MARK}"])
"""Which run a case names instead of one made up: those made up are never there."""


@pytest.mark.parametrize(
    "cases", [pytest.param(120, id="sample"), pytest.param(5_000, id="whole", marks=pytest.mark.soak)]
)
async def test_fuzzed_requests_are_answered_as_documented(
    postgres_server: Postgres, tmp_path: Path, cases: int
) -> None:
    """What fits the document and what does not, in every field; the runs that this starts are bounded as everybody's are."""
    async with fuzzed(postgres_server, tmp_path) as room:
        await asyncio.to_thread(meant, room.address)
        answers = await asyncio.to_thread(tried, room.address, cases)
        assert answers.total() >= cases
        assert {200, 202, 404, 422} <= set(answers), answers
        assert await room.ask("SELECT count(*) FROM worker.runs WHERE scope::text LIKE '%zq7%DROP TABLE%'") > 0
        assert await room.ask("SELECT count(*) FROM people") == 20
        statements = room.statements()
    assert "WHERE ($1::text IS NULL OR name = $1)" in statements
    assert statements.count("FROM worker.runs") > cases / 10
    assert MARK not in statements


def meant(address: str) -> None:
    """Send what would end a text in SQL wherever any text may stand, and see that it arrives."""
    run = f"{address}/admin/runs/greet-people:{MARK}"
    scope = {"name": SHARP, "names": [SHARP], "secret": SHARP}
    asked: list[tuple[str, dict[str, Any]]] = [
        (f"{address}/admin/greet-people", {**scope, "run_key": MARK, "wait": 60}),
        (f"{address}/admin/runs/{KNOWN}/replay", {"key": SHARP, "wait": 60}),
        (f"{address}/admin/runs/{KNOWN}/replay", {"error": SHARP, "wait": 60}),
    ]
    for url, body in asked:
        answer = requests.post(url, json=body, headers=HEADERS, timeout=70)
        assert answer.status_code in (200, 502), answer.text  # nothing to replay: the text was looked for
    assert requests.get(run, headers=HEADERS, timeout=10).json()["scope"]["name"] == SHARP
    assert requests.get(f"{run}/dead-letters", params={"after": AFTER}, headers=HEADERS, timeout=10).status_code == 200


def tried(address: str, cases: int) -> Counter[int]:
    """Try each operation with what fits and with what does not; give how often each status came."""
    schema = schemathesis.openapi.from_url(f"{address}/admin/openapi.json", headers=HEADERS)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == len(schema.raw_schema["paths"]) - 1  # all but the document itself, which it leaves out
    sides = [
        (operation, mode)
        for operation in operations
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or operation.path_parameters or operation.query or operation.body
    ]
    answers: Counter[int] = Counter()
    for operation, mode in sides:

        @settings(
            max_examples=-(-cases // len(sides)) * 2,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), run_id=RUNS, mark=st.booleans())
        def one(case: Any, run_id: str | None, mark: bool) -> None:
            marked(case, run_id, mark)
            response = case.call(headers=HEADERS, base_url=address)
            answers[response.status_code] += 1
            assert response.status_code != 500
            case.validate_response(response, checks=CHECKS)

        one()
    return answers
