"""Carry metrics to the Datadog Agent from a thread of its own, so that nothing about the agent slows the run."""

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Full, Queue
from typing import TYPE_CHECKING, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from worker.environment import Settings
from worker.report.metrics import Metric

if TYPE_CHECKING:
    from datadog.dogstatsd.base import DogStatsd

log = logging.getLogger(__name__)

Sample: TypeAlias = tuple[Metric, float, tuple[str, ...]]
"""A metric, its value, and the tags it has beside the common ones."""

_PORT = 8125
_WAITING_BATCHES = 100
_SOCKET_TIMEOUT_S = 1.0


class Address(NamedTuple):
    """Where the agent listens: a host and port, or a unix socket."""

    host: str | None
    port: int | None
    socket: str | None

    def __str__(self) -> str:
        return f"unix://{self.socket}" if self.socket else f"udp://{self.host}:{self.port}"


def address(settings: Settings) -> Address | None:
    """Find the agent in the environment: the URL before the socket before the host; None where none is set."""
    if settings.dd_dogstatsd_url:
        url = urlsplit(settings.dd_dogstatsd_url)
        if url.scheme == "unix":
            return Address(None, None, url.path)
        return Address(url.hostname or "127.0.0.1", url.port or _PORT, None)
    if settings.dd_dogstatsd_socket:
        return Address(None, None, settings.dd_dogstatsd_socket)
    return Address(settings.dd_agent_host, _PORT, None) if settings.dd_agent_host else None


class Sender:
    """Send batches of samples in the order given; what the agent does not take is dropped, and said once."""

    def __init__(self, to: Address) -> None:
        self._to = to
        self._batches: Queue[tuple[Sequence[Sample], Sequence[str]] | None] = Queue(_WAITING_BATCHES)
        # A daemon: a resolver that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._carry, name="dogstatsd", daemon=True)
        self._complained = False

    def put(self, samples: Sequence[Sample], tags: Sequence[str]) -> bool:
        """Queue a batch; False where the agent is so slow that there is no room."""
        try:
            self._batches.put_nowait((samples, tags))
        except Full:
            return False
        return True

    def start(self) -> None:
        """Begin to send, if it has not begun."""
        if self._thread.ident is None:
            self._thread.start()

    def finish(self, within_s: float) -> None:
        """Wait until all is sent, at most that many seconds; nothing can be put afterwards."""
        self.start()
        deadline = time.monotonic() + within_s
        with suppress(Full):
            self._batches.put(None, timeout=within_s)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._complain()

    def _carry(self) -> None:
        client = self._client()
        while batch := self._batches.get():
            samples, tags = batch
            client.constant_tags = list(tags)
            for metric, value, own_tags in samples:
                getattr(client, metric.kind)(metric.name, value, tags=list(own_tags))
            if not client.flush():
                self._complain()
        client.close_socket()

    def _client(self) -> "DogStatsd":
        from datadog.dogstatsd.base import DogStatsd

        # It warns at every packet that is lost; once is enough, and is said here.
        logging.getLogger("datadog.dogstatsd").setLevel(logging.CRITICAL)
        return DogStatsd(
            host=self._to.host,
            port=self._to.port,
            socket_path=self._to.socket,
            disable_buffering=False,
            flush_interval=0,  # no flush thread: each batch is flushed
            disable_telemetry=True,  # metrics about the client itself, which docs/metrics.md would have to list
            socket_timeout=_SOCKET_TIMEOUT_S,
        )

    def _complain(self) -> None:
        if not self._complained:
            self._complained = True
            log.warning("the Datadog Agent at %s does not take all metrics; the run goes on without them", self._to)
