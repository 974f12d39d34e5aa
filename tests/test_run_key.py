"""The run key: what may stand in one."""

from datetime import UTC
from typing import Any

import pytest

from worker import Run, Scope, run_key
from worker.errors import Faults


@pytest.mark.parametrize("key", ["a", "2026-11-23T06:00:00Z", "hand-1_2.3+4~5", "x" * 128])
def test_run_key_gives_back_what_is_allowed(key: str) -> None:
    """Times and words pass as they are."""
    assert run_key.check(key) == key


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "a/b", "a\n", "ä", "a%2f", "\0"])
def test_run_key_refuses_what_needs_quoting(key: str) -> None:
    """Anything that a URL, a shell or a log line would have to quote is refused."""
    with pytest.raises(Faults, match="run key"):
        run_key.check(key)


def test_run_key_made_up_is_allowed_and_not_repeated() -> None:
    """Made-up keys are keys, and begin with who made them up."""
    keys = {run_key.check(run_key.made_up("hand")) for _ in range(3)}
    assert len(keys) > 1
    assert all(key.startswith("hand-20") for key in keys)


@pytest.mark.parametrize(("options", "kind"), [({"dry_run": True}, "dry"), ({"max_records": 5}, "canary")])
def test_run_key_of_a_trial_is_its_own_and_stays(options: dict[str, Any], kind: str) -> None:
    """A trial never uses up the key it was given; handed on to its process, its own key is not changed again."""
    chosen = run_key.choose("k", **options)
    assert chosen.startswith(f"k~{kind}-20")
    assert run_key.choose(chosen, **options) == chosen
    made = run_key.choose(None, **options)
    assert made.startswith(f"{kind}-20")
    assert run_key.choose(made, **options) == made


def test_run_key_of_a_run_is_the_given_one() -> None:
    """A real run bears the key it was given, or one made up for a run by hand."""
    assert run_key.choose("k") == "k"
    assert run_key.choose(None).startswith("hand-20")
    for options in ({}, {"dry_run": True}):
        with pytest.raises(Faults, match="run key 'a b'"):
            run_key.choose("a b", **options)


@pytest.mark.parametrize(
    ("key", "due"),
    [
        ("2026-11-23T01:30Z", "2026-11-23T01:30"),
        ("2026-11-23T01:30:00.000Z", "2026-11-23T01:30"),
        ("2026-11-23T01:30:00+02:00", "2026-11-22T23:30"),
        ("2026-11-23", "2026-11-23T00:00"),
        ("2026-11-23T01:30Z~dry-20270101T000000Z-7f3a", "2026-11-23T01:30"),
        ("hand-20261123T013000Z-7f3a", "2026-11-23T01:30"),
        ("night", None),
        ("order-4711", None),
        ("2026-13-45", None),
        ("20261123456789", None),
    ],
)
def test_run_key_says_when_the_run_was_due(key: str, due: str | None) -> None:
    """A scheduled time or the moment of a run by hand, in UTC: a resume days later means the same day."""
    found = run_key.time_in(key)
    assert (found and found.isoformat()) == (due and f"{due}:00+00:00")
    assert Run("job", key, Scope()).due.tzinfo is UTC
