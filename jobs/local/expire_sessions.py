"""Sessions for expire-sessions: `records` have expired, a third as many are alive."""

from time import time
from typing import Any

TABLE, BUCKET = "sessions", "archive"
_DAY_S = 24 * 3600
_BATCH = 25


async def seed(aws: Any, records: int) -> dict[str, str]:
    """Make the table, its sessions and the bucket for those that are archived."""
    await aws.call("s3", "create_bucket", Bucket=BUCKET)
    await aws.call(
        "dynamodb",
        "create_table",
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    now = int(time())
    alive = [session(number, now + _DAY_S) for number in range(records // 3)]
    expired = [session(number, now - _DAY_S) for number in range(len(alive), len(alive) + records)]
    puts = [{"PutRequest": {"Item": item}} for item in alive + expired]
    for start in range(0, len(puts), _BATCH):
        await aws.call("dynamodb", "batch_write_item", RequestItems={TABLE: puts[start : start + _BATCH]})
    return {"SESSIONS_TABLE": TABLE, "ARCHIVE_BUCKET": BUCKET}


def session(number: int, expires_at: int) -> dict[str, Any]:
    """Make a session in DynamoDB's form."""
    return {
        "id": {"S": f"session-{number:06}"},
        "customer": {"N": str(number % 500)},
        "cart": {"L": [{"S": f"item-{number % 7}"}]},
        "expires_at": {"N": str(expires_at)},
    }
