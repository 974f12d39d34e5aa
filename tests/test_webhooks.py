"""Signed webhooks: as the Standard Webhooks specification has them."""

import asyncio
import base64
import hashlib
import hmac
from typing import Any

import pytest
from simulated import a_run, answering

from worker.clients.webhooks import Webhooks, signed
from worker.errors import Faults, Permanent, Transient

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_webhooks_sign_as_the_specification_does() -> None:
    """The example of its reference libraries."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    assert signed(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


async def test_webhooks_send_what_their_receivers_can_verify() -> None:
    """Id, time and the very bytes of the body are under the signature; each try has a time of its own."""
    sent: list[tuple[dict[str, str], bytes]] = []

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line)
        raw = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
        headers["webhook-signature"] = next(value for name, value in raw.items() if name.lower() == "webhook-signature")
        sent.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with answering(answer) as url, Webhooks(a_run(), secret=SECRET, public_only=False) as webhooks:
        await webhooks.send(f"{url}/hook", "m-1", {"type": "paid", "text": "é"})
    ((headers, body),) = sent
    assert body == '{"type":"paid","text":"é"}'.encode()
    assert headers["content-type"] == "application/json"
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    ("status", "error"), [("410 Gone", Permanent), ("302 Found", Permanent), ("503 Away", Transient)]
)
async def test_webhooks_tell_for_good_from_for_now(status: str, error: Any) -> None:
    """Gone is gone, and nobody is followed elsewhere; a server's trouble passes."""

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    async with answering(answer) as url, Webhooks(a_run(), secret=SECRET, public_only=False) as webhooks:
        with pytest.raises(error):
            await webhooks.send(url, "m-1", {})


@pytest.mark.parametrize("secret", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_no base64"])
def test_webhooks_refuse_a_secret_that_is_none(secret: str) -> None:
    """Without saying it."""
    with pytest.raises(Faults, match="24 to 64 bytes in base64") as faults:
        Webhooks(a_run(), secret=secret)
    assert not secret or secret not in str(faults.value)
