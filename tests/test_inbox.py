"""worker/aws/inbox.py: what each event asks for."""

from typing import Any

import pytest
from launch_events import RULE, SCHEDULER, created

from worker.aws.inbox import body, requests
from worker.errors import Faults
from worker.registry import load, names
from worker.request import read

AT = "2026-11-23T02:00:00Z"


def asked(event: Any, trigger: str | None = None) -> list[dict[str, Any]]:
    """Read an event with all jobs of this repository; each request must be one that the launcher takes."""
    found = requests(event, names(), load, trigger)
    for one in found:
        read(one, load)
    return found


@pytest.mark.parametrize(
    ("event", "request_"),
    [
        (SCHEDULER, SCHEDULER),
        (
            RULE,
            {
                "job": "poll-payments",
                "run_key": AT,
                "scheduled_time": AT,
                "trigger": "rule",
                "started_by": "rule/poll-payments",
            },
        ),
        (
            {"job": "poll-payments", "scope": {"merchant_id": 42}},
            {"job": "poll-payments", "scope": {"merchant_id": 42}},
        ),
        ({"job": "deliver-webhooks", "backlog": True}, {"job": "deliver-webhooks", "backlog": True}),
        ({"event": RULE, "reason": "full", "request_id": "1"}, asked(RULE)[0]),
        ({"version": "1.0", "requestContext": {}, "requestPayload": RULE, "responseContext": {}}, asked(RULE)[0]),
    ],
    ids=["scheduler", "rule", "plain", "backlog", "put back", "put back from Lambda"],
)
def test_event_asks_for_a_run(event: dict[str, Any], request_: dict[str, Any]) -> None:
    """One, under a key that is the same whenever the event comes again."""
    assert asked(event) == [request_]


def test_event_of_an_object_asks_for_the_job_that_takes_it() -> None:
    """With bucket, key and version in the fields that the job has declared."""
    [request] = asked(created())
    assert (request["job"], request["trigger"]) == ("digest-uploads", "s3")
    assert request["scope"] == {"bucket": "uploads", "key": "uploads/a b+ü.csv", "version": "IYV3p4"}
    unversioned = created()
    del unversioned["detail"]["object"]["version-id"]
    assert "version" not in asked(unversioned)[0]["scope"]


def test_event_of_an_object_is_the_same_run_when_it_comes_again() -> None:
    """Another version, or the same key written anew, is another."""
    again = {**created(), "id": "another", "time": "2026-11-23T02:00:09Z"}
    assert asked(again) == asked(created())
    others = [created(sequencer="00617F"), created(**{"version-id": "other"}), created(key="uploads/b")]
    assert len({asked(event)[0]["run_key"] for event in (created(), *others)}) == 4


def test_event_from_a_queue_has_its_trigger() -> None:
    """Unless it names one."""
    assert asked({"job": "poll-payments"}, "sqs")[0]["trigger"] == "sqs"
    assert asked(SCHEDULER, "sqs")[0]["trigger"] == "scheduler"
    assert asked(RULE, "sqs")[0]["trigger"] == "rule"


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (body("not JSON"), "JSON object, not 'not JSON'"),
        (body("[1]"), "JSON object"),
        (created(key="elsewhere/a"), "no job takes s3://uploads/elsewhere/a"),
        (created(key="uploads/folder/"), "no job takes"),
        ({**created(), "detail-type": "Object Deleted"}, "Object Deleted"),
        ({**created(), "detail": {}}, "bucket"),
        ({**RULE, "resources": []}, "names its rule"),
        ({**RULE, "resources": ["rule/poll-payment"]}, "did you mean 'poll-payments'?"),
        ({"source": "aws.ecs", "detail-type": "ECS Task State Change"}, "starts no job"),
        ({"job": "poll-payments", "merchant_id": 42}, "what narrows the run goes into scope"),
        ({"Records": []}, "no field 'Records'"),
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "uploads"}, "turn on EventBridge for the bucket"),
        ({"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": "a%2Bb"}}}]}, "turn on EventBridge"),
        (created(key="uploads/\ud800"), "half a character"),
    ],
)
def test_event_that_asks_for_nothing_is_refused(event: Any, said: str) -> None:
    """With the reason."""
    with pytest.raises(Faults) as error:
        asked(event)
    assert said in str(error.value)
