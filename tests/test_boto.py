"""worker/boto.py: AWS's answers and silences as the worker's own errors, and what a dry run may send."""

import secrets
from typing import Any

import pytest
from aiobotocore.utils import AioContainerMetadataFetcher
from aws import Aws
from scripted import CUT, refused, reply, scripted

from worker import Permanent, Run, Scope, Throttled, Transient
from worker.boto import Client
from worker.errors import Faults

KEY = {"id": {"S": "a"}}


def a_run(*, dry: bool = False) -> Run[Scope]:
    """Give a run that has no front door."""
    return Run("job", "key", Scope(), dry_run=dry)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give an environment in which nothing of AWS is set, nor found elsewhere."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    return monkeypatch


@pytest.fixture
def keyed(alone: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give an environment with a region and credentials, and retries that botocore is asked for."""
    given = {"AWS_REGION": "eu-west-3", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    for name, value in (given | {"AWS_MAX_ATTEMPTS": "5", "AWS_RETRY_MODE": "standard"}).items():
        alone.setenv(name, value)
    return alone


async def raised(keyed: pytest.MonkeyPatch, *replies: bytes) -> Any:
    """Give the error of a call that a script answers, and hold that it was sent once."""
    async with scripted(*replies) as server:
        keyed.setenv("AWS_ENDPOINT_URL", server.url)
        async with Client(a_run(), "dynamodb", limit=None) as client:
            with pytest.raises((Transient, Permanent)) as caught:
                await client.call("get_item", TableName="t", Key=KEY)
    assert len(server.asked) == 1, "the engine tries again, botocore does not"
    return caught.value


async def test_client_calls_and_says_what_was_refused(aws: Aws) -> None:
    """An answer comes as botocore gives it; a refusal is permanent and carries AWS's code."""
    async with Client(a_run(), "dynamodb") as client:
        assert "TableNames" in await client.call("list_tables")
        with pytest.raises(Permanent, match="dynamodb get_item: ResourceNotFoundException") as caught:
            await client.call("get_item", TableName="absent", Key=KEY)
        assert caught.value.type == "ResourceNotFoundException"
        with pytest.raises(Permanent, match="Missing required parameter"):
            await client.call("get_item", TableName="absent")


async def test_client_pages(aws: Aws) -> None:
    """Every page of a list comes."""
    bucket = aws.bucket()
    for key in "abc":
        aws.s3.put_object(Bucket=bucket, Key=key)
    async with Client(a_run(), "s3") as client:
        pages = [
            page async for page in client.pages("list_objects_v2", Bucket=bucket, PaginationConfig={"PageSize": 2})
        ]
    assert [[entry["Key"] for entry in page["Contents"]] for page in pages] == [["a", "b"], ["c"]]


async def test_client_that_is_not_open_says_so() -> None:
    """A client that nobody entered is a mistake in the job."""
    with pytest.raises(RuntimeError, match="not open"):
        await Client(a_run(), "s3").call("list_buckets")
    with pytest.raises(RuntimeError, match="not open"):
        await anext(Client(a_run(), "s3").pages("list_buckets"))


async def test_client_in_a_dry_run_reads_and_does_not_write(aws: Aws) -> None:
    """Whatever would change something is refused before it is sent, by every way to call it; reads go through."""
    bucket = aws.bucket()
    async with Client(a_run(dry=True), "s3") as client:
        await client.call("head_bucket", Bucket=bucket)
        for write in ("put_object", "delete_object"):
            with pytest.raises(Permanent, match="dry run") as caught:
                await client.call(write, Bucket=bucket, Key="a")
            assert caught.value.type == "dry run"
        with pytest.raises(Permanent, match="dry run"):
            await client.call("delete_bucket", Bucket=bucket)
    assert aws.keys(bucket) == []
    async with Client(a_run(dry=True), "dynamodb") as client:
        with pytest.raises(Permanent, match="no PutItem to dynamodb"):
            await client.call("put_item", TableName="t", Item=KEY)
        with pytest.raises(Permanent, match="no TransactWriteItems"):
            await client.call("transact_write_items", TransactItems=[])
    name = secrets.token_hex(4)
    async with Client(a_run(dry=True), "sqs") as client:
        with pytest.raises(Permanent, match="no CreateQueue"):
            await client.call("create_queue", QueueName=name)


async def test_client_finds_the_region_by_either_name(keyed: pytest.MonkeyPatch) -> None:
    """AWS_REGION, which ECS sets and botocore overlooks, comes before AWS_DEFAULT_REGION."""
    keyed.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    async with Client(a_run(), "s3") as client:
        assert "eu-west-3%2Fs3" in await client.call("generate_presigned_url", ClientMethod="list_buckets")
    keyed.delenv("AWS_REGION")
    async with Client(a_run(), "s3") as client:
        assert "eu-central-1%2Fs3" in await client.call("generate_presigned_url", ClientMethod="list_buckets")


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("service", ["dynamodb", "s3"])
async def test_client_without_region_and_credentials_says_both(service: str) -> None:
    """What is missing is said at once, before any call, for services that have a default region too."""
    with pytest.raises(Faults) as caught:
        await Client(a_run(), service).__aenter__()
    assert [fault.split(":")[0] for fault in caught.value.faults] == [
        "AWS_REGION is not set",
        "there are no AWS credentials",
    ]


async def test_client_with_half_of_its_credentials_says_so(keyed: pytest.MonkeyPatch) -> None:
    """A key without its secret is a fault of the start."""
    keyed.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Faults, match="no client for s3: Partial credentials"):
        await Client(a_run(), "s3").__aenter__()


async def test_client_waits_for_the_credentials_of_a_task(alone: pytest.MonkeyPatch) -> None:
    """An agent that does not give the task role's credentials yet is worth another try."""
    alone.setattr(AioContainerMetadataFetcher, "SLEEP_TIME", 0)
    alone.setenv("AWS_REGION", "eu-west-3")
    alone.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/none")
    with pytest.raises(Transient, match="no AWS credentials yet"):
        await Client(a_run(), "s3").__aenter__()


async def test_client_says_that_nobody_answers(keyed: pytest.MonkeyPatch) -> None:
    """A port at which nobody listens is worth another try."""
    async with scripted() as server:
        keyed.setenv("AWS_ENDPOINT_URL", server.url)
    async with Client(a_run(), "dynamodb") as client:
        with pytest.raises(Transient, match="no answer: Could not connect"):
            await client.call("list_tables")


@pytest.mark.parametrize(
    "said",
    [CUT, reply(200, b'{"Item": {"id"', length=900)],
    ids=["no answer", "half an answer"],
)
async def test_client_tries_a_cut_connection_again(keyed: pytest.MonkeyPatch, said: bytes) -> None:
    """A connection that is cut before the answer or within it is worth another try, which the engine makes."""
    assert type(await raised(keyed, said)) is Transient


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (reply(500, {"__type": "InternalServerError"}), Transient),
        (reply(502, b"<html>Bad Gateway</html>"), Transient),
        (reply(503, b""), Transient),
        (refused("InternalServerError"), Transient),
        (refused("TransactionConflictException"), Transient),
        (refused("ProvisionedThroughputExceededException"), Throttled),
        (refused("ThrottlingException"), Throttled),
        (refused("RequestLimitExceeded"), Throttled),
        (refused("InvalidParameterException", "Rate exceeded"), Throttled),
        (reply(429, b""), Throttled),
        (refused("ValidationException"), Permanent),
        (refused("ConditionalCheckFailedException"), Permanent),
        (refused("AccessDeniedException"), Permanent),
        (reply(403, b""), Permanent),
    ],
)
async def test_client_judges_a_refusal(keyed: pytest.MonkeyPatch, said: bytes, kind: type) -> None:
    """What passes is tried again, what asks for less pauses everybody, the rest is permanent; botocore itself tries once."""
    assert type(await raised(keyed, said)) is kind


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [
        (["ConditionalCheckFailed", "None"], Permanent),
        (["ConditionalCheckFailed", "TransactionConflict"], Permanent),
        (["TransactionConflict", "None"], Transient),
        (["TransactionConflict", "ThrottlingError"], Transient),
        (["None", "ProvisionedThroughputExceeded"], Throttled),
        ([], Permanent),
    ],
)
async def test_client_judges_a_transaction_by_its_reasons(
    keyed: pytest.MonkeyPatch, reasons: list[str], kind: type
) -> None:
    """A cancelled transaction is worth another try only if all that stood against it may pass."""
    said = refused("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in reasons])
    assert type(await raised(keyed, said)) is kind


async def test_client_names_the_limit_that_was_asked_to_pause(keyed: pytest.MonkeyPatch) -> None:
    """A client with a limit of its own takes its permits, and a throttle pauses that limit."""
    taken: list[str] = []

    async def permit() -> None:
        taken.append("dynamodb")

    run = a_run()
    run.permits = {"dynamodb": permit}
    async with scripted(refused("ThrottlingException")) as server:
        keyed.setenv("AWS_ENDPOINT_URL", server.url)
        async with Client(run, "dynamodb", limit="dynamodb") as client:
            with pytest.raises(Throttled) as caught:
                await client.call("list_tables")
    assert (taken, caught.value.limit) == (["dynamodb"], "dynamodb")


async def test_client_keeps_its_connection(keyed: pytest.MonkeyPatch) -> None:
    """Calls one after another go over one connection; one that was cut is replaced."""
    item = reply(200, {"Item": KEY})
    async with scripted(item, item, item, CUT, item) as server:
        keyed.setenv("AWS_ENDPOINT_URL", server.url)
        async with Client(a_run(), "dynamodb") as client:
            for _ in range(3):
                assert (await client.call("get_item", TableName="t", Key=KEY))["Item"] == KEY
            assert server.connections == 1
            with pytest.raises(Transient):
                await client.call("get_item", TableName="t", Key=KEY)
            assert (await client.call("get_item", TableName="t", Key=KEY))["Item"] == KEY
    assert server.connections == 2
