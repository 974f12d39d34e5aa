"""A Datadog Agent to send traces to, over real HTTP: it decodes /v0.5/traces strictly (the agent's "trace API v0.5")."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgspec

Raw = tuple[int, int, int, int, int, int, int, int, int, dict[int, int], dict[int, float], int]
Payload = tuple[list[str], list[list[Raw]]]


class Span(NamedTuple):
    """A span as the agent keeps it; times in nanoseconds."""

    service: str
    name: str
    resource: str
    trace_id: int
    span_id: int
    parent_id: int
    start: int
    duration: int
    error: int
    meta: dict[str, str]
    metrics: dict[str, float]
    type: str


def parse(payload: bytes) -> list[list[Span]]:
    """Give the traces of a payload, chunk by chunk; raises for whatever the format does not allow."""
    words, traces = msgspec.msgpack.decode(payload, type=Payload)
    assert words[0] == "", "the first word is the empty one"
    return [[_span(words, *raw) for raw in trace] for trace in traces]


def _span(words: list[str], service: int, name: int, resource: int, *rest: Any) -> Span:
    trace_id, span_id, parent_id, start, duration, error, meta, metrics, kind = rest
    assert min(trace_id, span_id, start, duration + 1) > 0
    assert error in (0, 1)
    said = {words[key]: words[value] for key, value in meta.items()}
    counted = {words[key]: value for key, value in metrics.items()}
    named = words[service], words[name], words[resource]
    return Span(*named, trace_id, span_id, parent_id, start, duration, error, said, counted, words[kind])


class Agent(ThreadingHTTPServer):
    """An agent that keeps what it is sent; one that is deaf takes it and never answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.chunks: list[list[Span]] = []
        self.broken: list[str] = []
        self.deaf: threading.Event | None = None

    @property
    def url(self) -> str:
        """Give its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def spans(self) -> list[Span]:
        """Give all spans."""
        assert not self.broken
        return [span for chunk in self.chunks for span in chunk]

    def named(self, name: str) -> list[Span]:
        """Give the spans of this name."""
        return [span for span in self.spans if span.name == name]


class _Request(BaseHTTPRequestHandler):
    server: Agent

    def do_GET(self) -> None:
        self._answer({"version": "7.78.0", "endpoints": ["/v0.5/traces"]})

    def do_PUT(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            body = b"".join(self._chunks())
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.deaf is not None:
            self.server.deaf.wait()
        self._take(body)
        self._answer({"rate_by_service": {"service:,env:": 1.0}})

    def _take(self, body: bytes) -> None:
        try:
            chunks = parse(body)
            assert self.path == "/v0.5/traces"
            assert int(self.headers["X-Datadog-Trace-Count"]) == len(chunks)
        except (AssertionError, IndexError, TypeError, msgspec.DecodeError) as error:
            self.server.broken.append(repr(error))
        else:
            self.server.chunks += chunks

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def _answer(self, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""


@contextmanager
def agent(*, deaf: bool = False) -> Iterator[Agent]:
    """Run an agent."""
    with Agent() as running:
        if deaf:
            running.deaf = threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield running
        finally:
            if running.deaf is not None:
                running.deaf.set()
            running.shutdown()
            thread.join()
