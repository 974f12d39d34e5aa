"""Webhooks for deliver-webhooks: `records` of them in a queue, 200 at most; one in fifty is no webhook.

Local SQS (moto) takes time by the square of a queue's messages: 200 are delivered in some seconds, 5,000 in half an hour.
"""

import json
from typing import Any

MOST = 200


async def seed(aws: Any, webhooks: Any, records: int) -> dict[str, str]:
    """Make the queue and its dead-letter queue, and send messages for five receivers, which are one server here."""
    dead = await aws.call("sqs", "create_queue", QueueName="webhooks-dead")
    asked = {"QueueUrl": dead["QueueUrl"], "AttributeNames": ["QueueArn"]}
    about = await aws.call("sqs", "get_queue_attributes", **asked)
    policy = json.dumps({"deadLetterTargetArn": about["Attributes"]["QueueArn"], "maxReceiveCount": 5})
    queue = await aws.call("sqs", "create_queue", QueueName="webhooks", Attributes={"RedrivePolicy": policy})
    numbers = range(1, min(records, MOST) + 1)
    for first in numbers[::10]:
        entries = [
            {"Id": str(number), "MessageBody": message(webhooks.url, number)}
            for number in range(first, min(first + 10, numbers.stop))
        ]
        await aws.call("sqs", "send_message_batch", QueueUrl=queue["QueueUrl"], Entries=entries)
    return {
        "WEBHOOK_QUEUE_URL": queue["QueueUrl"],
        "WEBHOOK_SECRET": "whsec_bG9jYWwtc2VjcmV0LXRoYXQtaXMtbm9uZS1hdC1hbGw=",
        "WEBHOOK_TARGETS": "any",
    }


def message(url: str, number: int) -> str:
    """Write a message."""
    if number % 50 == 0:
        return "a message that is no webhook"
    return json.dumps({"url": f"{url}/receiver-{number % 5}", "payload": {"type": "order.paid", "order": number}})
