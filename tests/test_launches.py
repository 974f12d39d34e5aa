"""worker/launches.py: whether a run may be started now, from what is known of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.launches import (
    FAILED,
    MOST_RESTARTS,
    OVER,
    PLACED,
    RESERVED,
    STALE,
    Asked,
    Facts,
    Full,
    Known,
    Launch,
    Refused,
    Reserved,
    decide,
)

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)


def asked(**changes: Any) -> Asked:
    """Give a run of poll-payments that is to be started."""
    whole = {"job": "poll-payments", "run_key": "2026-11-24", "lease": "poll-payments", "scope_hash": "all", "most": 10}
    return Asked(**{**whole, **changes})


def a_launch(state: str = PLACED, **changes: Any) -> Launch:
    """Give a launch of that run."""
    whole: dict[str, Any] = {"job": "poll-payments", "run_id": "poll-payments:2026-11-24", "number": 1, "state": state}
    return Launch(**{**whole, "lease": "poll-payments", "scope_hash": "all", "reserved_at": NOW, **changes})


def facts(*live: Launch, **changes: Any) -> Facts:
    """Give what is known: nothing but what is said."""
    whole = {"now": NOW, "last": None, "status": None, "scope_hash": None, "live": live}
    return Facts(**{**whole, **changes})


def test_launch_of_a_new_run_is_reserved() -> None:
    """It is its first."""
    answer = decide(asked(), facts())
    assert isinstance(answer, Reserved)
    assert (answer.launch.number, answer.launch.state, answer.launch.restarts) == (1, RESERVED, 0)


@pytest.mark.parametrize("meant", [{}, {"again": True}, {"restart": True}])
@pytest.mark.parametrize("state", [RESERVED, PLACED])
def test_launch_that_is_live_is_known(state: str, meant: dict[str, bool]) -> None:
    """Nobody starts it twice, whoever asks."""
    assert decide(asked(**meant), facts(last=a_launch(state))) == Known("poll-payments:2026-11-24", state)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"status": "aborted"}, "aborted"),
        ({"status": "interrupted"}, "interrupted"),
        ({"status": "overlapped"}, "overlapped"),
        ({"last": a_launch(OVER, task_arn="arn")}, OVER),
    ],
)
def test_launch_of_a_run_that_was_begun_is_known_to_events(known: dict[str, Any], said: str) -> None:
    """A schedule that fires twice starts nothing again; a person who means it does, and so does who restarts."""
    answer = decide(asked(), facts(**known))
    assert isinstance(answer, Known)
    assert answer.state == said
    assert isinstance(decide(asked(again=True), facts(**known)), Reserved)
    assert isinstance(decide(asked(restart=True), facts(**known)), Reserved)


def test_launch_of_a_run_that_succeeded_is_known_to_all() -> None:
    """There is nothing left to do."""
    for meant in ({}, {"again": True}, {"restart": True}):
        assert isinstance(decide(asked(**meant), facts(status="succeeded")), Known)


def test_launch_that_failed_is_followed_by_the_next() -> None:
    """No task came of it, so the event may come again; it has an id of its own."""
    answer = decide(asked(), facts(last=a_launch(FAILED)))
    assert isinstance(answer, Reserved)
    assert answer.launch.number == 2
    assert answer.launch.id != a_launch().id


def test_launch_whose_launcher_died_is_taken_up() -> None:
    """Under its own number, and so with its own id: if a task is there already, ECS gives that one."""
    old = a_launch(RESERVED, reserved_at=NOW - STALE)
    assert decide(asked(), facts(old, last=old)) == Reserved(replace(old, reserved_at=NOW), taken_up=True)
    young = replace(old, reserved_at=NOW - STALE + timedelta(seconds=1))
    assert isinstance(decide(asked(), facts(young, last=young)), Known)


def test_launch_by_itself_again_is_counted() -> None:
    """Three times, whatever was asked for in between."""
    last = a_launch(OVER)
    for count in range(1, MOST_RESTARTS + 1):
        answer = decide(asked(restart=True), facts(last=last))
        assert isinstance(answer, Reserved)
        assert answer.launch.restarts == count
        last = replace(answer.launch, state=OVER)
    assert isinstance(decide(asked(restart=True), facts(last=last)), Refused)
    assert isinstance(decide(asked(again=True), facts(last=last)), Reserved)


def test_launch_that_follows_another_follows_it_once() -> None:
    """The same task's end, told twice, starts one task; also if that one is over by then."""
    second = a_launch(OVER, number=2)
    assert isinstance(decide(asked(restart=True, after=1), facts(last=second)), Known)
    assert isinstance(decide(asked(restart=True, after=2), facts(last=second)), Reserved)


def test_launch_by_itself_again_that_ecs_had_no_room_for_is_asked_for_again() -> None:
    """It is no successor, nor one of the three: the same task's end, told again, tries again."""
    request = {"trigger": "resume"}
    failed = a_launch(FAILED, number=2, restarts=MOST_RESTARTS, request=request)
    answer = decide(asked(restart=True, after=1), facts(last=failed))
    assert isinstance(answer, Reserved)
    assert (answer.launch.number, answer.launch.restarts) == (3, MOST_RESTARTS)
    gone = replace(failed, state=OVER)
    assert isinstance(decide(asked(restart=True, after=1), facts(last=gone)), Known)


def test_launch_under_a_key_of_another_scope_is_refused() -> None:
    """The task would refuse it, too."""
    assert isinstance(decide(asked(again=True), facts(last=a_launch(FAILED, scope_hash="one"))), Refused)
    assert isinstance(decide(asked(again=True), facts(scope_hash="one")), Refused)


def test_launch_over_a_cap_is_full() -> None:
    """Two of one lease, too many of the job, too many in all; dry runs have room of their own."""
    other = a_launch(run_id="poll-payments:other", number=7)
    answer = decide(asked(), facts(other))
    assert isinstance(answer, Full)
    assert (answer.live, answer.overlaps) == ((other,), True)
    another = replace(other, lease="poll-payments eu")
    assert "max_tasks" in str(decide(asked(), facts(another)))
    assert isinstance(decide(asked(most_of_job=2), facts(another)), Reserved)
    assert isinstance(decide(asked(), facts(replace(another, dry_run=True))), Reserved)
    elsewhere = replace(other, job="other", lease="other")
    assert "LAUNCH_MAX_TASKS" in str(decide(asked(most=1), facts(elsewhere)))
    assert isinstance(decide(asked(most=2), facts(elsewhere)), Reserved)


@pytest.mark.parametrize("job", ["x", "a-name-that-is-longer-than-ecs-takes-for-a-client-token-of-a-task"])
def test_launch_id_is_a_client_token_and_a_started_by(job: str) -> None:
    """Both take letters, digits and dashes; the token at most 64."""
    id_ = a_launch(job=job, number=12_345).id
    assert len(id_) <= 64
    assert set(id_) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
