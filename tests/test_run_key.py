"""The run key: what may stand in one."""

import pytest

from worker import run_key
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
