"""Speak HTTP/1.1 for the simulator: keep-alive, pipelines in order, delays; as little work a request as Python allows."""

import asyncio
from collections import deque
from http import HTTPStatus
from itertools import count
from typing import cast

import httptools

from worker.local.provider_answers import Answer, Simulator
from worker.local.provider_control import CONTROL, control

STRIPE_VERSION = b"2026-10-28.endive"
"""What is echoed to a caller that names no version."""

_STATUS = {status: b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_BODY_LIMIT = 65_536
_request_ids = count(1)


class Connection(asyncio.Protocol):
    """One caller's connection."""

    def __init__(self, simulator: Simulator, connections: set["Connection"]) -> None:
        self._simulator = simulator
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the open connections."""
        self._connections.add(self)
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit it

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave them, and forget the answers that nobody waits for any more."""
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def cut(self) -> None:
        """Break the connection off, as a provider does that goes down."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer what has arrived; what is pipelined goes out in one write."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._last = True
            self._reply(
                Answer(400, b'{"error":{"message":"This is not HTTP/1.1.","type":"invalid_request_error"}}'), 0.0
            )
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()
        if self._last and not self._due:
            self._transport.close()

    def pause_writing(self) -> None:
        """Read no more from a caller that does not read."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._transport.resume_reading()

    def on_message_begin(self) -> None:
        """Start afresh: the parser calls this and the next four for each request."""
        self._target = b""
        self._key: str | None = None
        self._version = STRIPE_VERSION
        self._body = b""

    def on_url(self, url: bytes) -> None:
        """Take a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take the two headers that matter."""
        name = name.lower()
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            self._key = key.strip() if scheme.lower() == "bearer" else None
        elif name == b"stripe-version":
            self._version = value

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, as far as one of ours would reach."""
        self._body = (self._body + body)[:_BODY_LIMIT]

    def on_message_complete(self) -> None:
        """Answer the request."""
        if self._last or self._transport.is_closing():
            return
        self._last = not self._parser.should_keep_alive()
        method = self._parser.get_method().decode()
        target = self._target.decode("latin-1")
        if target.startswith(CONTROL):
            self._reply(control(self._simulator, method, target, self._body), 0.0)
            return
        answer = self._simulator.answer(method, target, self._key)
        if answer is None:
            self.cut()
        else:
            self._reply(answer, self._simulator.behaviour.delay)

    def _reply(self, answer: Answer, delay: float) -> None:
        status, body, headers = answer
        reply = (
            b"%bContent-Type: application/json\r\nContent-Length: %d\r\nRequest-Id: req_%014x\r\nStripe-Version: %b\r\n%b%b\r\n%b"
            % (
                _STATUS[status],  # type: ignore[index]
                len(body),
                next(_request_ids),
                self._version,
                headers,
                b"Connection: close\r\n" if self._last else b"",
                body,
            )
        )
        if delay > 0 or self._due:
            self._reply_later(reply, delay)
        else:
            self._out.append(reply)

    def _reply_later(self, reply: bytes, delay: float) -> None:
        self._due.append((self._loop.time() + delay, reply))
        if self._timer is None:
            self._timer = self._loop.call_later(delay, self._reply_due)

    def _reply_due(self) -> None:
        """Write what is due, in the order in which it was asked."""
        self._timer = None
        now = self._loop.time()
        while self._due and self._due[0][0] <= now:
            self._transport.write(self._due.popleft()[1])
        if self._due:
            self._timer = self._loop.call_later(self._due[0][0] - now, self._reply_due)
        elif self._last:
            self._transport.close()
