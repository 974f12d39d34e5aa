"""Send webhooks that their receivers can trust: signed, with an id that stays the same over all tries.

Headers and signature are those of the Standard Webhooks specification (standardwebhooks.com): `webhook-id`, `webhook-timestamp` and
`webhook-signature`, an HMAC-SHA256 over id, timestamp and body.
"""

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any, Self

import msgspec

from worker.clients.http import Http
from worker.errors import Faults
from worker.job import Run
from worker.limits import Limits

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
_LARGEST = 1024 * 1024
"""Nobody reads the answers, and those who give them are not trusted with memory."""


class Webhooks:
    """Signed webhooks: `self.webhooks = await run.enter(Webhooks(run, secret=…, per_host=Limits(concurrency=4, rate=Rate(10))))`.

    `secret` is `whsec_` and 24 to 64 bytes in base64. `public_only` refuses URLs that are not https or lead to private
    addresses: they come from whoever subscribes. `per_host` and `timeout_s` are those of `Http`.
    """

    def __init__(
        self,
        run: Run[Any],
        *,
        secret: str,
        per_host: Limits | None = None,
        public_only: bool = True,
        timeout_s: float = 15.0,
    ) -> None:
        self._key = _key(secret)
        self._http = Http(run, per_host=per_host, public_only=public_only, timeout_s=timeout_s, largest=_LARGEST)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.__aexit__(*exc_info)

    async def send(self, url: str, id: str, payload: Any) -> None:  # noqa: A002 - the specification's word for it
        """Post a payload as JSON; raises what `Http.request` raises."""
        body = msgspec.json.encode(payload)
        headers = {"content-type": "application/json", **signed(self._key, id, int(time.time()), body)}
        await self._http.post(url, data=body, headers=headers)


def signed(key: bytes, id: str, timestamp: int, body: bytes) -> dict[str, str]:  # noqa: A002
    """Give the three headers for a body that is sent at a time, in seconds since 1970."""
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or len(key) not in _KEY_BYTES:
        raise Faults([f"a webhook secret is {_PREFIX} and 24 to 64 bytes in base64 (the value is not shown)"])
    return key
