"""A container's environment as ECS makes it: plain variables, secrets by their ARN, then the overrides, which win.

Forms of `valueFrom`: a secret's ARN, optionally followed by `:json-key:version-stage:version-id` with empty fields, or an SSM parameter
(ECS Developer Guide, "Pass sensitive data to an Amazon ECS container").
"""

import json
from collections.abc import Mapping
from typing import Any

from moto.core.exceptions import JsonRESTError, ServiceException
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends
from werkzeug.exceptions import HTTPException

_FIELDS_OF_SECRET_ARN = 7


class CannotResolve(Exception):
    """A secret that is not there: the task does not start."""


def environment(
    definition: Mapping[str, Any], override: Mapping[str, Any], account: str, region: str
) -> dict[str, str]:
    """Give it. Raises CannotResolve."""
    plain = {pair["name"]: pair["value"] for pair in definition.get("environment", ())}
    secrets = {one["name"]: _value(one["valueFrom"], account, region) for one in definition.get("secrets", ())}
    return plain | secrets | {pair["name"]: pair["value"] for pair in override.get("environment", ())}


def _value(source: str, account: str, region: str) -> str:
    try:
        return _secret(source) if ":secretsmanager:" in source else _parameter(source, account, region)
    except (ServiceException, JsonRESTError, HTTPException, KeyError, ValueError) as error:
        raise CannotResolve(f"failed to fetch secret {source} from secrets manager: {error}") from error


def _secret(source: str) -> str:
    parts = source.split(":")
    arn, (key, stage, version) = (
        ":".join(parts[:_FIELDS_OF_SECRET_ARN]),
        [*parts[_FIELDS_OF_SECRET_ARN:], *[""] * 3][:3],
    )
    backend = secretsmanager_backends[parts[4]][parts[3]]
    text: str = backend.get_secret_value(arn, version or None, stage or None)["SecretString"]  # type: ignore[arg-type]
    return str(json.loads(text)[key]) if key else text


def _parameter(source: str, account: str, region: str) -> str:
    if source.startswith("arn:"):
        region, account = source.split(":")[3:5]
    found = ssm_backends[account][region].get_parameter(source)
    if found is None:
        raise KeyError(source)
    return str(found.response_object(decrypt=True, region=region)["Value"])
