"""What arrives at the launcher, as AWS documents and sends it."""

import json
from typing import Any

ACCOUNT, REGION = "123456789012", "eu-central-1"

SCHEDULER = {
    "job": "poll-payments",
    "run_key": "2026-11-23T02:00:00Z",
    "scheduled_time": "2026-11-23T02:00:00Z",
    "trigger": "scheduler",
    "started_by": "schedule/poll-payments",
}
"""EventBridge Scheduler sends its input, with `<aws.scheduler.scheduled-time>` filled in."""

RULE = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": ACCOUNT,
    "time": "2026-11-23T02:00:00Z",
    "region": REGION,
    "resources": [f"arn:aws:events:{REGION}:{ACCOUNT}:rule/poll-payments"],
    "detail": {},
}
"""A scheduled rule's raw event (Amazon EventBridge User Guide)."""


def created(key: str = "uploads/a b+ü.csv", **thing: Any) -> dict[str, Any]:
    """Give "Object Created" as S3 sends it through EventBridge (Amazon S3 User Guide): its keys are not encoded."""
    about = {
        "size": 5,
        "etag": "b1946ac92492d2347c6235b4d2611184",
        "version-id": "IYV3p4",
        "sequencer": "00617F08299329D189",
    }
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": "2026-11-23T02:00:05Z",
        "region": REGION,
        "resources": ["arn:aws:s3:::uploads"],
        "detail": {
            "version": "0",
            "bucket": {"name": "uploads"},
            "object": {"key": key, **about, **thing},
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": ACCOUNT,
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }


def batch(*bodies: Any) -> dict[str, Any]:
    """Give a batch of messages as Lambda hands it over (AWS Lambda Developer Guide, "Using Lambda with Amazon SQS")."""
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
                "messageAttributes": {},
                "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:launches",
                "awsRegion": REGION,
            }
            for number, body in enumerate(bodies)
        ]
    }
