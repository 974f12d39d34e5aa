"""Secrets of a Lambda function: ECS puts them into a task's environment, for a function nobody does."""

import os
from collections.abc import MutableMapping

import msgspec

from worker.aws.calls import Calls
from worker.errors import Faults

_NAMES = ("DATABASE_URL", "DD_API_KEY", "SLACK_BOT_TOKEN", "SLACK_WEBHOOK_URL")


async def fill(environ: MutableMapping[str, str] = os.environ) -> None:
    """Fetch what `<NAME>_ARN` names and `<NAME>` does not say, once for the life of the process. Raises Faults.

    An ARN may name a field of a JSON secret, as task definitions do: `arn:…:secret:name-suffix:field::`.
    """
    wanted = {name: arn for name in _NAMES if (arn := environ.get(f"{name}_ARN")) and not environ.get(name)}
    if not wanted:
        return
    async with Calls("secrets") as calls:
        for name, arn in wanted.items():
            environ[name] = await _secret(calls, name, arn)


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
