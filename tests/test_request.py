"""worker/request.py: what the launcher is asked for, checked by the job's own model."""

from typing import Any

import pytest

from worker.aws.inbox import requests
from worker.errors import Faults
from worker.registry import load
from worker.request import Request, read

WHOLE = {
    "job": "poll-payments",
    "run_key": "2026-11-23T02:00:00Z",
    "scope": {"merchant_id": 42},
    "trigger": "scheduler",
    "scheduled_time": "2026-11-23T02:00:00Z",
    "started_by": "schedule/poll-payments",
    "dry_run": False,
    "max_records": None,
    "max_affected": 100,
    "shard": "1/8",
    "backlog": False,
}


def test_request_comes_back_as_it_went() -> None:
    """What it says of itself starts the same run again."""
    request = read(WHOLE, load)
    assert (request.run_id, request.scope.merchant_id) == ("poll-payments:2026-11-23T02:00:00Z", 42)  # type: ignore[attr-defined]
    assert read(request.values(), load) == request


def test_request_tells_of_a_scope_elsewhere_by_its_place_alone() -> None:
    """It may be large, or secret."""
    values = read(WHOLE, load).referring("s3://bucket/key").values()
    assert values["scope_ref"] == "s3://bucket/key"
    assert "scope" not in values


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"run_key": "mine", "scheduled_time": "2026-11-23T02:00:00Z"}, "mine"),
        ({"scheduled_time": "2026-11-23T02:00:00Z"}, "2026-11-23T02:00:00Z"),
        ({}, "of-the-door"),
    ],
)
def test_request_names_its_run(values: dict[str, Any], key: str) -> None:
    """By what it says, else by the time that it was scheduled for, else as the door has it."""
    assert read({"job": "poll-payments", **values}, load, "of-the-door").run_key == key


def test_request_by_hand_has_a_key_made_up_and_a_dry_one_uses_up_none() -> None:
    """As on the command line."""
    assert read({"job": "poll-payments"}, load).run_key.startswith("hand-")
    assert read({"job": "poll-payments", "run_key": "night", "dry_run": True}, load).run_key.startswith("night~dry-")


def test_request_has_all_its_faults_told_at_once() -> None:
    """With what was probably meant."""
    wrong = {
        "job": "poll-payments",
        "scop": {},
        "scope": {"merchant": 1},
        "trigger": "cron",
        "max_records": 0,
        "run_key": "a b",
    }
    with pytest.raises(Faults) as error:
        read(wrong | {"shard": "0/8", "scheduled_time": "at night", "dry_run": "yes"}, load)
    said = "\n".join(error.value.faults)
    assert "no field 'scop'; did you mean 'scope'?" in said
    assert "no field 'merchant'; did you mean 'merchant_id'?" in said
    for word in (
        "trigger='cron' is not one of scheduler",
        "max_records=0",
        "run key 'a b'",
        "shard '0/8' is not I/N",
        "'at night'",
    ):
        assert word in said
    assert "dry_run='yes' is not true or false" in said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("poll-payments", "a JSON object"),
        ({}, "job is missing"),
        ({"job": "poll-payment"}, "did you mean 'poll-payments'?"),
        ({"job": 7}, "job=7 is not a text"),
        ({"job": "poll-payments", "scope": [1]}, "scope=[1] is not an object"),
        ({"job": ""}, "job is missing"),
        ({"job": "poll-payments", "started_by": "a\nb"}, "printable"),
        ({"job": "poll-payments", "started_by": "\ud800"}, "half a character"),
        ({"job": "poll-payments", "run_key": "<aws.scheduler.scheduled-time>"}, "spelled just so"),
        ({"job": "poll-payments", "run_key": "k", "shard": "9/8"}, "from 1/N to N/N"),
        ({"job": "poll-payments", "shard": "1/8"}, "give all its shards the same --run-key"),
        (
            {"job": "poll-payments", "run_key": "k", "shard": "1/8", "max_records": 5},
            "max-records does not go with shards",
        ),
        ({"job": "poll-payments", "run_key": "k", "shard": "1/8", "dry_run": True}, "its shards must share"),
    ],
)
def test_request_that_is_none_is_refused(values: Any, said: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(Faults, match=said.replace("[", r"\[").replace("?", r"\?")):
        read(values, load)


def test_request_nested_without_end_is_refused() -> None:
    """As a message of a thousand brackets is, which would else come back again and again."""
    nest: Any = 1
    for _ in range(50_000):
        nest = [nest]
    with pytest.raises(Faults, match="nested deeper than any scope"):
        requests({"job": "poll-payments", "scope": {"merchant_id": nest}}, ["poll-payments"], load)
    with pytest.raises(Faults, match="a JSON object"):
        requests(nest, ["poll-payments"], load)


def test_request_writes_a_shard_as_one_does() -> None:
    """Or one shard would be two tasks."""
    assert read({"job": "poll-payments", "run_key": "k", "shard": "03/08"}, load).shard == "3/8"


def test_request_is_a_value() -> None:
    """Two that ask for the same are the same."""
    assert isinstance(read(WHOLE, load), Request)
    assert read(WHOLE, load) == read(dict(WHOLE), load)
