"""The launcher as a Lambda function: what schedules, rules, S3 and queues send starts tasks.

It takes EventBridge Scheduler's plain JSON, the raw events of scheduled rules and of S3, and SQS batches of all of these. What can
start nothing goes to LAUNCH_DEAD_LETTERS with its reason; from a queue, what may start later goes back to it (batchItemFailures).
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from worker import registry
from worker.aws.calls import Calls
from worker.aws.inbox import body, requests, unsealed
from worker.aws.launcher import Launcher
from worker.aws.letters import Letters, Undeliverable, shown
from worker.cli.launching import launcher
from worker.environment import settings
from worker.errors import Faults, Transient
from worker.functions import secrets as function_secrets
from worker.launches import Answer, Full, Known, Refused, Unplaced
from worker.mask import Mask
from worker.report import logs
from worker.verdict import Verdict

_log = logging.getLogger("worker.launcher")

_AT_ONCE = 10
"""Messages of a batch that are worked on at the same time; RunTask takes 20 calls a second, of everybody."""


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Start what the event asks for; raises where Lambda should try the event again, or keep it."""
    return asyncio.run(_handle(event, getattr(context, "aws_request_id", None) or secrets.token_hex(8)))


async def _handle(event: Any, request_id: str) -> dict[str, Any]:
    await function_secrets.fill()
    found = settings()
    logs.configure(found.log_format or "json", found.log_level, Mask([found.database_url]))
    logs.context(request_id=request_id)
    async with Calls("dead letters") as calls, launcher(found) as opened:
        door = _Door(opened, Letters(calls, found.launch_dead_letters), request_id)
        if _is_batch(event):
            return {"batchItemFailures": await door.batch(event["Records"])}
        return {"answers": await door.event(event)}


def _is_batch(event: Any) -> bool:
    """Tell whether an event is what Lambda makes of messages in an SQS queue (Lambda Developer Guide)."""
    records = event.get("Records") if isinstance(event, Mapping) else None
    return isinstance(records, list) and all(
        isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs" for record in records
    )


def _seen(asked: Mapping[str, Any], answer: Answer) -> Answer | None:
    """Give what an answer means here: a tick that comes while its job is at work is over, a backlog is looked at again."""
    if not isinstance(answer, Full):
        return answer
    if asked.get("backlog"):
        return None
    overlapped = answer.overlaps and asked.get("trigger") in ("scheduler", "rule")
    return Known(answer.run_id, Verdict.OVERLAPPED.word) if overlapped else answer


class _Door:
    """Let events in, and put those aside that start nothing."""

    def __init__(self, opened: Launcher, letters: Letters, request_id: str) -> None:
        self._launcher, self._letters, self._request_id = opened, letters, request_id

    async def event(self, event: Any) -> list[dict[str, str]]:
        """Start what one event asks for; where something is not started it becomes a dead letter, for nobody else keeps it."""
        answers = await self._started(event, f"event-{self._request_id}")
        await self._put(event, [answer for answer in answers if isinstance(answer, (Full, Refused, Unplaced))])
        return [{"answer": type(answer).__name__.lower(), "said": str(answer)} for answer in answers]

    async def batch(self, records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
        """Start what the messages ask for; give those that SQS is to deliver again."""
        turns = asyncio.Semaphore(_AT_ONCE)

        async def done(record: Mapping[str, Any]) -> bool:
            async with turns:
                return await self._message(record["body"], f"sqs-{record['messageId']}")

        told = await asyncio.gather(*map(done, records))
        return [{"itemIdentifier": record["messageId"]} for record, over in zip(records, told, strict=True) if not over]

    async def _message(self, text: str, key: str) -> bool:
        """Start what a message asks for; tell whether it is done with. What it has started is known when it comes again."""
        try:
            event = body(text)
            answers = await self._started(event, key, "sqs")
            if any(isinstance(answer, (Full, Unplaced)) for answer in answers):
                return False
            await self._put(event, [answer for answer in answers if isinstance(answer, Refused)])
        except (Transient, Undeliverable) as error:
            _log.warning("a message goes back to its queue: %s", error)
            return False
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the others of its batch are done with
            _log.exception("a message goes back to its queue")
            return False
        return True

    async def _started(self, event: Any, key: str, trigger: str | None = None) -> list[Answer]:
        try:
            asked = requests(event, registry.names(), registry.load, trigger)
        except Faults as faults:
            return [Refused(faults.faults)]
        answers: list[Answer] = []
        for one in asked:
            some = await self._launcher.launch_all(one, key)
            answers += [seen for answer in some if (seen := _seen(one, answer))]
        return answers

    async def _put(self, event: Any, lost: Sequence[Answer]) -> None:
        if lost:
            kept = await shown(self._launcher, unsealed(event))
            await self._letters.put(kept, "; ".join(map(str, lost)), self._request_id)
