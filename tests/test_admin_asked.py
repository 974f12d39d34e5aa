"""What a caller asks for: all faults at once, and no input that gets past them."""

from http import HTTPStatus
from typing import Any

import pytest
from admin_room import JOBS, PollScope, ask
from hypothesis import event, given
from hypothesis import strategies as st

from worker.admin.asked import LONGEST_WAIT_S, Asked, asked
from worker.admin.problems import Problem
from worker.scope import parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["act", "merchant_id", "region", "ids", "secret", "dry_run", "max_records", "run_key", "wait"])


def test_asked_takes_scope_and_options_apart() -> None:
    """Scope fields and options stand side by side in the body."""
    got = ask(merchant_id=42, ids=[1, 2], max_records=5, run_key="canary-20261123T060245Z-7f3a", wait=2)
    assert got.scope == PollScope(merchant_id=42, ids=(1, 2))
    assert (got.dry_run, got.max_records, got.wait_s) == (False, 5, 2.0)
    assert got.run_id == "poll-payments:canary-20261123T060245Z-7f3a"
    assert got.variables == {"JOB_MERCHANT_ID": "42", "JOB_IDS": "[1,2]"}


@pytest.mark.parametrize(("wait", "seconds"), [(False, 0), (True, LONGEST_WAIT_S), (0, 0), (1.5, 1.5)])
def test_asked_wait_is_seconds_or_as_long_as_it_takes(wait: Any, seconds: float) -> None:
    """True waits as long as is waited at all."""
    assert ask(wait=wait).wait_s == seconds


def test_asked_names_all_faults_at_once() -> None:
    """Scope, options, key and unknown names are answered together."""
    with pytest.raises(Problem) as caught:
        asked(
            JOBS["poll-payments"],
            {"merchant_id": "x", "ids": 3, "dryrun": 1, "max_records": 0, "wait": -1, "zz": 0},
            "a b",
        )
    assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    errors = caught.value.errors
    assert len(errors) == 7
    for words in (
        "merchant_id: 'x'",
        "ids: 3",
        "did you mean 'dry_run'",
        "max_records=0",
        "wait=-1",
        "no field 'zz'",
        "run key",
    ):
        assert any(words in error for error in errors), words


def test_asked_never_shows_a_secret() -> None:
    """A wrong secret field is named without its value."""
    with pytest.raises(Problem) as caught:
        ask(secret=[1, "hush-hush"])
    assert "hush-hush" not in str(caught.value.errors)
    assert "hush" not in repr(ask(secret="hush").variables.keys())
    assert "'JOB_SECRET'" not in repr(ask(secret="hush"))


def test_asked_key_of_body_and_header_must_agree() -> None:
    """Two keys for one run are refused; one of them, or twice the same, is taken."""
    job = JOBS["poll-payments"]
    assert asked(job, {}, "k").run_key == asked(job, {"run_key": "k"}, "k").run_key == "k"
    with pytest.raises(Problem) as caught:
        asked(job, {"run_key": "a"}, "b")
    assert "name two runs" in caught.value.errors[0]


@given(st.dictionaries(NAMES | st.text(), JSON, max_size=5), st.none() | st.text())
def test_asked_gives_a_valid_run_or_a_problem(values: dict[str, Any], key: str | None) -> None:
    """Whatever stands in a body: a run whose scope survives the trip to its process, or faults in words."""
    try:
        got: Asked = asked(JOBS["poll-payments"], values, key)
    except Problem as problem:
        event(f"refused for {min(len(problem.errors), 3)} faults")
        return
    texts = {name.removeprefix("JOB_").lower(): text for name, text in got.variables.items()}
    assert parse(PollScope, texts, text=True) == got.scope
