"""The launcher's dead letters: events that start nothing, each with its reason, so that it can be put back."""

import json
import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from worker.aws.calls import Calls
from worker.aws.launcher import Launcher
from worker.errors import Faults, Permanent
from worker.scope import masked

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
        text = _written({"event": event, "reason": reason, "request_id": request_id})
        if self._url is None:
            raise Undeliverable(f"LAUNCH_DEAD_LETTERS is not set, to keep what started nothing: {reason}")
        if (size := len(text.encode())) > _LONGEST:
            raise Undeliverable(f"an event of {size:,} bytes is too large for LAUNCH_DEAD_LETTERS: {reason}")
        await self._calls("sqs", "send_message", QueueUrl=self._url, MessageBody=text)


def _written(letter: Mapping[str, Any]) -> str:
    """Write it as JSON; half a character, which is no text, stays the escape that it came as."""
    try:
        return msgspec.json.encode(letter).decode()
    except UnicodeEncodeError:
        return json.dumps(letter)


async def shown(launcher: Launcher, event: Any) -> Any:
    """Give an event as anybody may read it: a request's secrets by the reference of its scope, or masked where it is wrong."""
    if not isinstance(event, Mapping) or not isinstance(scope := event.get("scope"), Mapping):
        return event
    try:
        hidden = masked(launcher.load(event["job"]).Scope, scope)
    except (Faults, KeyError, TypeError):
        return event  # of no job that is known: which field would be secret cannot be known either
    if hidden == scope:
        return event
    try:
        kept = await launcher.kept(await launcher.read(event))
    except (Faults, Permanent):
        return {**event, "scope": hidden}
    return {**{name: value for name, value in event.items() if name != "scope"}, "scope_ref": kept.scope_ref}
