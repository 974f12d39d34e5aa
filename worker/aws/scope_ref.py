"""A scope that is too large, or too secret, for a task's overrides: kept in S3, and named by `SCOPE_REF`."""

import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec

from worker.aws.calls import Calls
from worker.boto import translated
from worker.errors import Faults, Permanent
from worker.request import Request
from worker.scope import whole


async def keep(calls: Calls, bucket: str, request: Request) -> str:
    """Put a request's scope into the bucket, under a name made of the scope itself; give the reference."""
    body = whole(request.scope)
    key = f"scopes/{request.job.name}/{hashlib.sha256(body).hexdigest()}.json"
    await calls("s3", "put_object", Bucket=bucket, Key=key, Body=body, ContentType="application/json")
    return f"s3://{bucket}/{key}"


async def fetch(calls: Calls, ref: str) -> dict[str, Any]:
    """Read the scope's fields. Raises Faults that name the reference where it leads nowhere, Transient where S3 is away."""
    try:
        parts = urlsplit(ref)
        bucket, key = parts.netloc, parts.path.lstrip("/")
        if parts.scheme != "s3" or not bucket or not key:
            raise Faults([f"SCOPE_REF {ref!r} is no address of the form s3://bucket/key"])
        answer = await calls("s3", "get_object", Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            with translated("s3 get_object"):
                text = await body.read()
        fields = msgspec.json.decode(text)
    except Permanent as error:
        raise Faults([f"SCOPE_REF {ref!r} cannot be read: {error}"]) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise Faults([f"SCOPE_REF {ref!r} is no JSON: {error}"]) from error
    if not isinstance(fields, dict):
        raise Faults([f"SCOPE_REF {ref!r} holds no JSON object of scope fields"])
    return fields
