"""An SQS queue as a source when not all goes well: deliveries twice, refusals in parts, kills, visibility that ends."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes import Batches, engine_over
from queues import a_run
from sqs_server import Sqs, SqsQueue, serving

from worker.errors import LeaseLost, Permanent, Transient
from worker.job import Run
from worker.limits import Limits
from worker.outcome import done
from worker.source import Failure, Record
from worker.sources.sqs import SqsQueue as Source
from worker.sources.sqs import drain

RULES = {"RedrivePolicy": '{"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:123456789012:dead"}'}


class Room:
    """A queue with its dead-letter queue, in this process."""

    def __init__(self, sqs: Sqs) -> None:
        self.sqs = sqs
        self.queue, self.dead = SqsQueue(RULES | {"QueueArn": "arn"}), SqsQueue({})
        sqs.queues |= {"queue": self.queue, "dead": self.dead}
        self.runs: list[Run[Any]] = []

    def run(self, **about: Any) -> Run[Any]:
        """Give a run, ended at the test's end at the latest."""
        self.runs.append(a_run(**about))
        return self.runs[-1]

    async def send(self, *texts: str) -> None:
        """Send messages."""
        entries = [{"Id": str(place), "MessageBody": text} for place, text in enumerate(texts)]
        await self.sqs.answer("SendMessageBatch", {"QueueUrl": "/queue", "Entries": entries})

    async def source(self, run: Run[Any], **options: Any) -> Source:
        """Give a source that was checked."""
        source = drain(run, f"{self.sqs.url}/1/queue", **{"wait_s": 0} | options)
        assert await source.check() == []
        return source


@pytest.fixture
async def room(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    """Give it, with the environment pointing at its server."""
    sqs = Sqs()
    async with serving(sqs) as url:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.setenv(name, "eu-central-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        room = Room(sqs)
        yield room
        for run in room.runs:
            await run.resources.aclose()


async def all_of(source: Source) -> list[Record]:
    """Read to the end."""
    records: list[Record] = []
    while (page := await source.page(None, 100)).after is not None:
        records += page.records
    return records


async def test_sqs_recognises_what_it_holds_already(room: Room) -> None:
    """A message that is delivered again is given once, and deleted by its newest receipt."""
    await room.send("one")
    run = room.run()
    source = await room.source(run)
    (kept,) = room.queue.kept.values()
    (first,) = (await source.page(None, 10)).records
    room.queue.show(kept)
    assert await all_of(source) == []
    assert kept.receives == 2
    await source.acknowledge([first], [])
    assert not room.queue.kept


async def test_sqs_deletes_again_what_is_delivered_after_its_end(room: Room) -> None:
    """SQS may deliver a deleted message once more: it is not worked on, nor released."""
    await room.send("one")
    run = room.run()
    source = await room.source(run)
    (kept,) = room.queue.kept.values()
    await source.acknowledge((await source.page(None, 10)).records, [])
    room.queue.kept[kept.id] = kept
    room.queue.show(kept)
    assert await all_of(source) == []
    assert room.queue.kept
    await run.resources.aclose()
    assert not room.queue.kept


async def test_sqs_keeps_messages_hidden_for_as_long_as_they_are_held(room: Room) -> None:
    """Their visibility is extended before it is over, though a call fails now and then; after the end it is not."""
    room.queue.attributes["VisibilityTimeout"] = "1"
    await room.send("slow", "slow too")
    extended = asyncio.Event()

    def refuse(operation: str, entry: dict[str, Any]) -> tuple[str, bool] | None:
        if room.sqs.calls[operation] == 6:  # one was the check
            extended.set()
        return ("InternalError", False) if operation.startswith("Change") and room.sqs.calls[operation] == 3 else None

    room.sqs.refuse = refuse
    run = room.run()
    source = await room.source(run)
    assert len(await all_of(source)) == 2
    await extended.wait()  # the fifth extension, after a second and two thirds
    assert await all_of(source) == []
    assert [kept.receives for kept in room.queue.kept.values()] == [1, 1]
    await run.resources.aclose()
    assert len(room.queue.visible) == 2


async def test_sqs_asks_again_for_what_was_refused_in_part(room: Room) -> None:
    """What is not SQS's last word is Transient, and the next call does only what is left: no letter is sent twice."""
    await room.send(*map(str, range(12)))
    run = room.run()
    source = await room.source(run)
    records = await all_of(source)
    failed = [Failure(record, "Failed", "why") for record in records[9:]]
    refusals = {"SendMessageBatch": 1, "DeleteMessageBatch": 2}

    def refuse(operation: str, entry: dict[str, Any]) -> tuple[str, bool] | None:
        refusals[operation] = refusals.get(operation, 0) - 1
        return ("InternalError", False) if refusals[operation] >= 0 else None

    room.sqs.refuse = refuse
    for _ in range(2):
        with pytest.raises(Transient, match="for now: InternalError"):
            await source.acknowledge(records[:9], failed)
    await source.acknowledge(records[:9], failed)
    assert not room.queue.kept
    assert sorted(kept.body for kept in room.dead.kept.values()) == sorted(record["text"] for record in records[9:])


async def test_sqs_goes_on_without_what_it_cannot_delete_or_bury(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    """A receipt that ended and a letter that is too large are said; both messages are delivered again."""
    await room.send("late", "large", "fine")
    run = room.run()
    source = await room.source(run)
    late, large, fine = sorted(await all_of(source), key=lambda record: ["late", "large", "fine"].index(record["text"]))
    room.sqs.refuse = lambda operation, entry: (
        ("ReceiptHandleIsInvalid", True)
        if entry.get("ReceiptHandle", "").startswith(late["id"])
        else ("InvalidParameterValue", True)
        if operation == "SendMessageBatch"
        else None
    )
    with caplog.at_level(logging.WARNING):
        await source.acknowledge([late, fine], [Failure(large, "Failed", "why")])
        await run.resources.aclose()
    assert {kept.body for kept in room.queue.kept.values()} == {"late", "large"}
    assert f"message {late['id']} cannot be deleted and may be delivered again" in caplog.text
    assert f"message {large['id']} cannot be sent to the dead-letter queue and is delivered again" in caplog.text


@pytest.mark.parametrize(
    "operation", ["ChangeMessageVisibilityBatch", "DeleteMessageBatch", "SendMessageBatch", "GetQueueUrl"]
)
async def test_sqs_tries_its_rights_before_any_message(room: Room, operation: str) -> None:
    """What it may not do is a fault, and no message was looked at for that."""
    await room.send("one")
    room.sqs.denied = {operation}
    run = room.run()
    faults = await drain(run, f"{room.sqs.url}/1/queue").check()
    assert len(faults) == 1
    assert "AccessDenied" in faults[0]
    assert [kept.receives for kept in room.queue.kept.values()] == [0]


async def test_sqs_ends_when_its_time_is_over(room: Room) -> None:
    """A queue that is never empty is not read for ever."""

    def refill(operation: str, entry: dict[str, Any]) -> None:
        return None

    await room.send("first")
    run = room.run()
    source = await room.source(run, for_s=0.2)
    read = 0
    while (page := await source.page(None, 10)).after is not None:
        read += len(page.records)
        await source.acknowledge(page.records, [])
        await room.send("another")
    assert read > 2


@pytest.mark.parametrize(("attempt", "read"), [(1, 0), (2, 1)])
async def test_sqs_waits_for_what_a_killed_attempt_held(room: Room, attempt: int, read: int) -> None:
    """The next attempt does not take the queue for empty while messages may come back; a first one has nothing to wait for."""
    room.queue.attributes["VisibilityTimeout"] = "1"
    await room.send("held")
    await room.sqs.answer("ReceiveMessage", {"QueueUrl": "/queue", "MaxNumberOfMessages": 10})
    run = room.run(attempt=attempt)
    assert len(await all_of(await room.source(run))) == read


async def test_sqs_waits_out_a_poll_that_fails(room: Room) -> None:
    """A receive that is refused is raised by the page, once nothing else is there; the next page asks again."""
    await room.send("one")
    run = room.run()
    source = await room.source(run)
    room.sqs.denied = {"ReceiveMessage"}
    with pytest.raises(Permanent, match="AccessDenied"):
        await source.page(None, 10)
    room.sqs.denied = set()
    assert len(await all_of(source)) == 1


@pytest.mark.parametrize("before", [True, False])
async def test_sqs_loses_nothing_when_the_attempt_breaks_around_a_commit(room: Room, before: bool) -> None:
    """Nothing is deleted before its commit; what breaks right after one has it delivered again."""
    await room.send(*map(str, range(8)))
    run, sink = room.run(), Batches(errors=[LeaseLost("taken over")] if before else [])
    source = await room.source(run)
    if not before:
        room.sqs.denied = {"DeleteMessageBatch"}

    async def process(record: Record) -> Any:
        return done(record["body"])

    engine = engine_over(source, process, sink, limits=Limits(record_timeout=1), clock=asyncio.get_running_loop().time)
    with pytest.raises(LeaseLost if before else Permanent):
        await engine.work()
    assert sum(len(batch.results) for batch in sink.all) == (0 if before else 8)
    await run.resources.aclose()
    assert len(room.queue.kept) == 8
    assert len(room.queue.visible) == (8 if before else 0), "what is finished comes back only when its visibility ends"
