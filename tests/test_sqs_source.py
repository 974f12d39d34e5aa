"""An SQS queue as a source, on moto and on the fast SQS of the tests: what is read, held, deleted, buried and released."""

from datetime import datetime
from typing import Any

import pytest
from aws import Aws
from queues import Queues, a_run

from worker.errors import Permanent
from worker.job import Run
from worker.source import Failure, Record
from worker.sources.sqs import SqsQueue, drain


@pytest.fixture(params=["aws", "fast_sqs"])
def queues(request: pytest.FixtureRequest) -> Queues:
    """Give a queue on each."""
    server: Aws = request.getfixturevalue(request.param)
    return Queues(server)


async def records_of(source: SqsQueue) -> dict[str, Record]:
    """Read everything; give it by its texts."""
    found: dict[str, Record] = {}
    while (page := await source.page(None, 100)).after is not None:
        found |= {record["text"]: record for record in page.records}
    return found


async def ended(run: Run[Any]) -> None:
    """End the attempt."""
    await run.resources.aclose()


async def test_sqs_gives_what_a_message_has(queues: Queues) -> None:
    """Its id as the key, its body decoded, its text, attributes, age and deliveries; it can be given again while it is held."""
    kind = {"kind": {"DataType": "String", "StringValue": "paid"}, "raw": {"DataType": "Binary", "BinaryValue": b"\1"}}
    queues.send(['{"id": 7}'], kind)
    run = a_run()
    source = await queues.source(run)
    message = (await records_of(source))['{"id": 7}']
    assert source.decode(source.encode(source.key(message))) == (message["id"],)
    assert message["body"] == {"id": 7}
    assert (message["attributes"]["kind"], message["receives"]) == ("paid", 1)
    assert isinstance(message["sent_at"], datetime)
    assert await source.records([(message["id"],), ("another",)]) == [message]
    with pytest.raises(KeyError, match="nothing"):
        message["nothing"]
    await ended(run)


@pytest.mark.parametrize("text", ["no JSON", "{", "[" * 100_000])
async def test_sqs_fails_a_body_that_is_no_json_when_it_is_asked_for(queues: Queues, text: str) -> None:
    """The message comes as any other; only who wants its body learns that there is none."""
    queues.send([text])
    run = a_run()
    message = (await records_of(await queues.source(run)))[text]
    with pytest.raises(Permanent, match="the message is no JSON"):
        message["body"]
    assert "body" not in message
    await ended(run)


async def test_sqs_deletes_what_is_finished_and_releases_the_rest(queues: Queues) -> None:
    """Nothing is deleted before it is acknowledged; what is not is there again as soon as the attempt ends."""
    queues.send(map(str, range(25)))
    run = a_run()
    source = await queues.source(run)
    records = await records_of(source)
    assert (len(records), queues.visible(), queues.hidden()) == (25, 0, 25)
    assert await source.count(None) == 25
    await source.acknowledge([records[str(number)] for number in range(12)], [])
    assert queues.hidden() == 13
    await ended(run)
    assert (queues.visible(), queues.hidden()) == (13, 0)
    assert sorted(int(each["Body"]) for each in queues.taken(queues.url)) == list(range(12, 25))


async def test_sqs_buries_failures_with_their_errors(queues: Queues) -> None:
    """One failure, one message in the dead-letter queue: as it was, with what went wrong, in characters that SQS takes."""
    queues.send(["poison"], {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)})
    run = a_run()
    source = await queues.source(run)
    poison = (await records_of(source))["poison"]
    await source.acknowledge([], [Failure(poison, "HTTP 410", "gone\nfor \x01ever " + 1_000 * "é")])
    await ended(run)
    assert queues.visible() == queues.hidden() == 0
    (buried,) = queues.buried()
    attributes = {name: value["StringValue"] for name, value in buried["MessageAttributes"].items()}
    assert buried["Body"] == "poison"
    assert (attributes["ErrorType"], attributes["MessageId"]) == ("HTTP 410", poison["id"])
    assert attributes["ErrorMessage"].startswith("gone for  ever éé")
    assert len(attributes["ErrorMessage"]) == 500
    assert len(attributes) == 10


async def test_sqs_leaves_everything_as_it_was_in_a_dry_run(queues: Queues) -> None:
    """Messages are held while it lasts, and are there again afterwards; nothing is deleted or sent."""
    queues.send(map(str, range(15)))
    run = a_run(dry_run=True)
    source = await queues.source(run)
    records = list((await records_of(source)).values())
    await source.acknowledge(records[:10], [Failure(record, "Failed", "why") for record in records[10:]])
    assert queues.hidden() == 15
    await ended(run)
    assert (queues.visible(), queues.buried()) == (15, [])


async def test_sqs_receives_no_more_than_is_asked_for(queues: Queues) -> None:
    """A canary of three looks at three messages: each look counts towards the dead-letter queue."""
    queues.send(map(str, range(20)))
    run = a_run()
    source = await queues.source(run)
    assert len((await source.page(None, 3)).records) == 3
    assert queues.hidden() == 3
    await ended(run)


async def test_sqs_says_what_is_wrong_with_a_queue(aws: Aws) -> None:
    """No such queue, no dead-letter queue, messages that are hidden too shortly, an order that would be broken."""
    queues = Queues(aws, visibility_s=5)
    queues.sqs.set_queue_attributes(QueueUrl=queues.url, Attributes={"VisibilityTimeout": "0"})
    fifo = queues.sqs.create_queue(QueueName="orders.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    run = a_run()
    (missing,) = await drain(run, f"{queues.url}-not").check()
    (short,) = await drain(run, queues.url).check()
    no_letters, order = await drain(run, fifo).check()
    await ended(run)
    assert "cannot be read: " in missing
    assert "NonExistentQueue" in missing
    assert "hides messages for 0 s, but a record may take 1 s: set its VisibilityTimeout" in short
    assert "orders.fifo has no dead-letter queue" in no_letters
    assert "RedrivePolicy" in no_letters
    assert "is a FIFO queue" in order


@pytest.mark.parametrize(("for_s", "wait_s"), [(0, 5), (60, 21), (60, -1)])
def test_sqs_refuses_times_that_cannot_be(for_s: float, wait_s: int) -> None:
    """SQS waits for 20 seconds at most; no time is too little."""
    with pytest.raises(ValueError, match="wait_s 0 to 20 seconds"):
        drain(a_run(), "https://queue", for_s=for_s, wait_s=wait_s)
