"""Uploads for digest-uploads: some files under the prefix, one beside it, and an empty table of digests."""

from typing import Any

_MOST = 300
"""The local AWS takes some milliseconds for each."""


async def seed(aws: Any, records: int) -> dict[str, str]:
    """Make so many files, but no more than some hundreds."""
    return await filled(aws, min(records, _MOST), "local-uploads", "local-digests")


async def filled(aws: Any, records: int, bucket: str, table: str) -> dict[str, str]:
    """Make the bucket, its files and the table."""
    await aws.call("s3", "create_bucket", Bucket=bucket)
    for number in range(records):
        body = f"line of file {number}\n" * (number % 50)
        await aws.call("s3", "put_object", Bucket=bucket, Key=f"uploads/{number:06}.txt", Body=body.encode())
    await aws.call("s3", "put_object", Bucket=bucket, Key="other/file.txt", Body=b"not under the prefix")
    await aws.call(
        "dynamodb",
        "create_table",
        TableName=table,
        KeySchema=[{"AttributeName": "object", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "object", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return {"UPLOADS_BUCKET": bucket, "DIGESTS_TABLE": table}
