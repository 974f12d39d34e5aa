"""The launcher's dead letters: events that start nothing, each with its reason, so that it can be put back."""

import logging
from typing import Any

import msgspec

from worker.aws.calls import Calls

_log = logging.getLogger("worker.launcher")

_LONGEST = 1_000_000
"""Bytes: SQS takes 1 MiB."""


class Undeliverable(Exception):
    """There is no queue for dead letters, or it cannot hold this one: who sent the event must keep it."""


class Letters:
    """One SQS queue."""

    def __init__(self, calls: Calls, url: str | None) -> None:
        self._calls, self._url = calls, url

    async def put(self, event: Any, reason: str, request_id: str) -> None:
        """Keep an event with the reason why it started nothing; sent to the launcher again, it is taken as the event that it holds."""
        _log.error("an event started nothing: %s", reason, extra={"request_id": request_id})
        text = msgspec.json.encode({"event": event, "reason": reason, "request_id": request_id})
        if self._url is None:
            raise Undeliverable(f"LAUNCH_DEAD_LETTERS is not set, to keep what started nothing: {reason}")
        if len(text) > _LONGEST:
            raise Undeliverable(f"an event of {len(text):,} bytes is too large for LAUNCH_DEAD_LETTERS: {reason}")
        await self._calls("sqs", "send_message", QueueUrl=self._url, MessageBody=text.decode())
