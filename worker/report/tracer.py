"""Begin and end ddtrace: the one place that imports it, keeps it to what is asked of it, and takes back what it takes.

It reads its own variables (`DD_ENV`, `DD_VERSION`, `DD_TAGS` …); defaults are set here for what a batch does not want.
"""

import atexit
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from worker.environment import Settings
from worker.errors import Faults
from worker.mask import Mask

if TYPE_CHECKING:
    from ddtrace.trace import Span, Tracer

log = logging.getLogger("worker.traces")

_DEFAULTS = {
    "DD_BOTOCORE_DISTRIBUTED_TRACING": "false",  # AWS has no use for the ids
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_LOG_STREAM_HANDLER": "false",  # it would write to standard error
    "DD_TRACE_STARTUP_LOGS": "false",
}
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def missing(settings: Settings) -> list[str]:
    """Say what keeps the run from being traced, where it is to be."""
    if not settings.trace_enabled:
        return []
    faults = []
    if not find_spec("ddtrace"):
        faults.append(
            "DD_TRACE_ENABLED is true, but ddtrace is not installed: make the image with EXTRAS=traces, or set it to false"
        )
    if not _address(settings):
        faults.append("DD_TRACE_ENABLED is true, but no agent is named: set DD_AGENT_HOST or DD_TRACE_AGENT_URL")
    return faults


def _address(settings: Settings) -> str:
    """Say where the agent is, if anywhere."""
    return settings.trace_agent_url or (f"http://{settings.dd_agent_host}:8126" if settings.dd_agent_host else "")


def begin(settings: Settings, job: str, mask: Mask) -> "Tracer":
    """Set ddtrace to work on the run's trace, with the statements of asyncpg and the calls of aiobotocore in it. Raises Faults where it cannot be loaded."""
    where = _address(settings)
    for name, value in {**_DEFAULTS, "DD_SERVICE": settings.dd_service or job, "DD_TRACE_AGENT_URL": where}.items():
        os.environ[name] = os.environ.get(name) or value
    quiet = logging.getLogger("ddtrace")
    quiet.propagate = False
    quiet.addHandler(_Complaint(where))
    with _signals_kept():
        tracer = _imported()
        only = _OnlyTheRun(mask)
        tracer.configure(trace_processors=[only])  # type: ignore[list-item] # its base class cannot be imported before it
        run = tracer.start_span("worker.run", resource=job, span_type="worker", activate=True)
    run.set_tag("manual.keep")
    only.trace_id = run.trace_id
    return tracer


def _imported() -> "Tracer":
    try:
        from ddtrace import patch
        from ddtrace.trace import tracer
    except ImportError as error:
        raise Faults([f"DD_TRACE_ENABLED is true, but ddtrace cannot be loaded: {error}"]) from error
    patch(asyncpg=True, aiobotocore=True)
    return tracer


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Take back the signals that ddtrace takes: it would end with the first one, and the run goes on."""
    ours = {number: signal.getsignal(number) for number in _SIGNALS}
    yield
    for number, handler in ours.items():
        signal.signal(number, handler)


def finish(tracer: "Tracer", within_s: float, exit_code: int) -> None:
    """Send what is left, at most that many seconds; the process then leaves with this code and does not wait any longer."""
    began = time.monotonic()
    tracer.shutdown(timeout=within_s)
    if time.monotonic() - began < within_s:
        return
    logging.getLogger("ddtrace").warning("it did not answer in time")
    atexit.register(_leave, exit_code)  # it is the first to be called, before those that would wait for twenty seconds


def _leave(exit_code: int) -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


class _OnlyTheRun:
    """Let the run's own trace through, without secrets, and nothing else: calls for records that are not in it make traces of their own."""

    def __init__(self, mask: Mask) -> None:
        self._mask, self.trace_id = mask, 0

    def process_trace(self, trace: "list[Span]") -> "list[Span] | None":
        """Give the spans that are sent."""
        if not trace or trace[0].trace_id != self.trace_id:
            return None
        for span in trace:
            span.resource = self._mask(span.resource)
            span.set_tags({name: self._mask(value) for name, value in span.get_tags().items()})
        return trace


class _Complaint(logging.Handler):
    """Say once what ddtrace says at every try."""

    def __init__(self, where: str) -> None:
        super().__init__(logging.WARNING)
        self._where, self._said = where, False

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, the first time."""
        if not self._said:
            self._said = True
            told = "the Datadog Agent at %s does not take all traces; the run goes on without them: %s"
            log.warning(told, self._where, record.getMessage())
