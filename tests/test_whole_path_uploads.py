"""An upload: S3 says so to EventBridge, the launcher starts a task for that object, its digest is in DynamoDB, once."""

from hashlib import sha256
from typing import Any

from firing import new_objects
from function_server import Functions
from launch_events import batch
from local_ecs import LocalEcs
from slack_server import Reply, slack
from whole_path import WholePath

from worker.cli.database import migrated


async def test_whole_path_digests_an_upload_once(local_ecs: LocalEcs, database_url: str, lambdas: Functions) -> None:
    """Though its event comes twice; what is put elsewhere starts nothing, and another version is another run."""
    await migrated(database_url)
    with slack(Reply()) as channel:
        path = WholePath(local_ecs, lambdas, database_url, channel.url)
        path.environment["DATABASE_URL_ARN"] = local_ecs.secret("run-store", path.environment.pop("DATABASE_URL"))
        bucket, table = local_ecs.bucket(versioned=True), path.bucket.replace("test", "digests")
        made(local_ecs, table)
        path.register("digest-uploads", {"UPLOADS_BUCKET": bucket, "DIGESTS_TABLE": table})
        local_ecs.s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        events = local_ecs.listen(new_objects(bucket, "uploads/"))
        for key, body in (("uploads/a+b c.txt", b"one\n"), ("uploads/", b""), ("other/file", b"no")):
            local_ecs.s3.put_object(Bucket=bucket, Key=key, Body=body)
        for event in twice(local_ecs.received(events)):
            assert (await path.launch(batch(event)))["batchItemFailures"] == []
        [first] = await path.settled()
        assert digests(local_ecs, table) == {"uploads/a+b c.txt": sha256(b"one\n").hexdigest()}
        assert local_ecs.end(first["taskArn"])["tally"]["done"] == 1
        local_ecs.s3.put_object(Bucket=bucket, Key="uploads/a+b c.txt", Body=b"two\n")
        for event in twice(local_ecs.received(events)):
            assert (await path.launch(batch(event)))["batchItemFailures"] == []
        assert len(await path.settled()) == 2
    assert digests(local_ecs, table) == {"uploads/a+b c.txt": sha256(b"two\n").hexdigest()}


def twice(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Deliver each once more: EventBridge delivers at least once."""
    assert events
    return [*events, *events]


def made(ecs: LocalEcs, table: str) -> None:
    """Make the table of digests."""
    client = ecs.client("dynamodb")
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "object", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "object", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.close()


def digests(ecs: LocalEcs, table: str) -> dict[str, str]:
    """Read the digests by key."""
    client = ecs.client("dynamodb")
    items = client.scan(TableName=table)["Items"]
    client.close()
    return {item["object"]["S"].partition("/")[2]: item["sha256"]["S"] for item in items}
