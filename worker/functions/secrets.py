"""Secrets of a Lambda function: ECS puts them into a task's environment, for a function nobody does."""

import logging
import os
import time
from collections.abc import MutableMapping

import msgspec

from worker.aws.calls import Calls
from worker.errors import Faults, Transient

_log = logging.getLogger("worker.watch")

_NAMES = ("DATABASE_URL", "DD_API_KEY", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL")
FRESH_S = 60.0
"""So long is a secret good: one that was rotated is known when Lambda tries an event again, which it does after a minute."""

_fetched: dict[str, tuple[str, float]] = {}
"""What was fetched, and when by the clock that goes on while Lambda freezes the process."""


async def fill(environ: MutableMapping[str, str] = os.environ) -> None:
    """Fetch what `<NAME>_ARN` names and `<NAME>` does not say, and again when it is a minute old. Raises Faults, Transient.

    An ARN may name a field of a JSON secret, as task definitions do: `arn:…:secret:name-suffix:field::`.
    """
    wanted = {name: arn for name in _NAMES if (arn := environ.get(f"{name}_ARN")) and _is_due(name, environ)}
    if not wanted:
        return
    async with Calls("secrets") as calls:
        for name, arn in wanted.items():
            try:
                environ[name] = await _secret(calls, name, arn)
            except Transient as error:
                if not environ.get(name):
                    raise
                _log.warning("%s is not fetched anew, the one from before is taken: %s", name, error)
            else:
                _fetched[name] = environ[name], time.time()


def _is_due(name: str, environ: MutableMapping[str, str]) -> bool:
    """Tell whether a secret is missing, or was fetched too long ago; one that somebody else has set is theirs."""
    value, at = _fetched.get(name, ("", 0.0))
    return not environ.get(name) or (environ[name] == value and time.time() - at >= FRESH_S)


async def _secret(calls: Calls, name: str, arn: str) -> str:
    parts = [*arn.split(":"), "", "", ""]
    if parts[2:3] == ["ssm"]:
        answer = await calls("ssm", "get_parameter", Name=arn, WithDecryption=True)
        return str(answer["Parameter"]["Value"])
    field, stage, version = parts[7:10]
    which = {"VersionStage": stage} if stage else {"VersionId": version} if version else {}
    answer = await calls("secretsmanager", "get_secret_value", SecretId=":".join(parts[:7]), **which)
    text: str = answer["SecretString"]
    if not field:
        return text
    try:
        return str(msgspec.json.decode(text)[field])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise Faults(
            [f"{name}_ARN names the field {field!r} of a secret which has none (its value is not shown)"]
        ) from error
