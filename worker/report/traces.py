"""Make one trace of a run: its reads, its page commits, and beneath each the records that were begun since the one before.

A share of the records, and every one that fails; beneath them their statements and calls. What is wrapped is wrapped once, at the
start of a run that is traced: others pay nothing.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from worker.errors import Postponed, Throttled
from worker.events import Reporter, Start, Summary
from worker.job import Job, Run
from worker.outcome import Done, Failed, Outcome, Skipped
from worker.parts import Parts
from worker.report import logs
from worker.report.tracer import finish
from worker.source import Record

if TYPE_CHECKING:
    from ddtrace.trace import Span, Tracer

Call = Callable[..., Awaitable[Any]]

_LONGEST_GOODBYE_S = 2.0
_NO_ERROR = (0, 75)


class Traces(Reporter):
    """The spans of an attempt. A page's span lasts from one page commit to the next; a record's is beneath the page it was begun in."""

    def __init__(self, tracer: "Tracer", share: float) -> None:
        run = tracer.current_span()
        assert run is not None, "the tracer was begun"
        self._tracer, self._share, self._run = tracer, share, run
        self._page: Span | None = None
        self._committing: Span | None = None
        self._turned_at = run.start_ns
        found = tracer.get_log_correlation_context(run)
        logs.context(**{name: found[name] for name in ("dd.trace_id", "dd.span_id")})

    def wrap(self, parts: Parts) -> None:
        """Put spans around what the attempt does with its job, its source and its store."""
        job, source, store = parts.job, parts.source, parts.store
        _around(job, "process", lambda process: self._record(process, job, source))
        _around(store, "commit", self._commit)
        _around(source, "page", lambda page: self._reading(page, lambda read: len(read.records)))
        _around(source, "records", lambda records: self._reading(records, len))
        if job.write is not None:
            _around(job, "write", self._write)
        parts.run.traced = self._call

    def started(self, start: Start) -> None:
        """Say whose trace it is."""
        self._run.set_tags({"run_id": start.run_id, "mode": "dry-run" if start.dry_run else "run"})
        self._run.set_metric("attempt", start.attempt)
        known = {"task_arn": start.task.arn, "shard": start.shard}
        self._run.set_tags({name: value for name, value in known.items() if value})

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Close the trace with the verdict, and wait until it is sent, within the budget."""
        tally, run = summary.tally, self._run
        for page in filter(None, (self._committing, self._page)):
            page.finish()
        run.set_tags({"run_id": summary.start.run_id, "verdict": summary.verdict.word})
        for name in ("read", "done", "failed", "unfinished", "retries"):
            run.set_metric(f"records.{name}", getattr(tally, name))
        run.set_metric("exit_code", summary.exit_code)
        if summary.exit_code not in _NO_ERROR:
            run.error = 1
            run.set_tags({"error.type": summary.verdict.word, "error.message": summary.detail})
        run.finish()
        await asyncio.to_thread(finish, self._tracer, min(budget_s, _LONGEST_GOODBYE_S), summary.exit_code)

    # --- what is wrapped ------------------------------------------------------------------------------------------------

    def _record(self, process: Call, job: Job[Any], source: Any) -> Call:
        async def traced(record: Record, run: Run[Any]) -> Outcome:
            def begin(began_ns: int | None = None) -> "Span":
                return self._begin_record(source.encode(source.key(record)), began_ns)

            began_ns = time.time_ns()
            span = begin() if random.random() < self._share else None  # noqa: S311 - nothing secret depends on it
            if span is None:
                self._tracer.context_provider.activate(None)
            try:
                outcome: Outcome = await process(record, run)
            except (Postponed, Throttled):
                raise  # it is for later, and no failure
            except (Exception, asyncio.CancelledError) as error:
                span = span or begin(began_ns)
                span.set_exc_info(type(error), error, error.__traceback__)
                raise
            else:
                if isinstance(outcome, Failed):
                    span = span or begin(began_ns)
                if span is not None:
                    _tell(span, outcome)
                return outcome
            finally:
                if span is not None:
                    span.finish()

        return traced

    def _begin_record(self, key: object, began_ns: int | None) -> "Span":
        """Open a record's span, at once or, as it failed, afterwards."""
        span = self._child("worker.record", self._current_page(), activate=began_ns is None)
        span.set_tag("key", str(key))
        if began_ns is not None:
            span.start_ns = began_ns
        return span

    def _commit(self, commit: Call) -> Call:
        async def traced(batch: Any, *more: Any) -> Any:
            if self._committing is None:  # else it is tried again
                self._committing, self._page = self._current_page(), None
            with self._child("worker.commit", self._committing, activate=True):
                done = await commit(batch, *more)
            page, self._committing = self._committing, None
            page.set_metric("results", len(batch.results))
            page.set_metric("dead_letters", len(batch.dead_letters))
            page.finish()
            self._turned_at = time.time_ns()
            return done

        return traced

    def _reading(self, read: Call, size: Callable[[Any], int]) -> Call:
        async def traced(*asked: Any) -> Any:
            with self._child("worker.read", self._run, activate=True) as span:
                found = await read(*asked)
                span.set_metric("records", size(found))
            return found

        return traced

    def _write(self, write: Call) -> Call:
        async def traced(results: Any, connection: Any) -> Any:
            within = self._tracer.current_span() if self._committing is not None else self._current_page()
            with self._child("worker.write", within or self._run, activate=True) as span:
                span.set_metric("records", len(results))
                return await write(results, connection)

        return traced

    def _call(self, send: Call) -> Call:
        """Put a span around the sends of an HTTP client, where what they are for is in the trace; of the URL no more than the host."""

        async def traced(request: Any, method: str, url: str) -> Any:
            if self._tracer.current_span() is None:
                return await send(request, method, url)
            with self._tracer.trace("http.request", service="http-client", span_type="http") as span:
                host = "/".join(url.split("/", 3)[:3]).rpartition("@")[2]
                span.resource = f"{method} {host}"
                span.set_tags(
                    {"component": "pyreqwest", "span.kind": "client", "http.method": method, "http.url": host}
                )
                answer = await send(request, method, url)
                span.set_tag("http.status_code", str(answer.status))
                span.error = int(answer.status >= 400)
            return answer

        return traced

    # --- spans ----------------------------------------------------------------------------------------------------------

    def _child(self, name: str, parent: "Span", *, activate: bool = False) -> "Span":
        return self._tracer.start_span(name, child_of=parent, resource=self._run.resource, activate=activate)

    def _current_page(self) -> "Span":
        """Give the page that is being worked on, which began when the one before was committed."""
        if self._page is None:
            self._page = self._child("worker.page", self._run)
            self._page.start_ns = self._turned_at
        return self._page


def _around(owner: Any, name: str, wrapped: Callable[[Call], Call]) -> None:
    """Wrap one method of one object."""
    setattr(owner, name, wrapped(getattr(owner, name)))


def _tell(span: "Span", outcome: object) -> None:
    if isinstance(outcome, Failed):
        span.error = 1
        span.set_tags({"outcome": "failed", "error.type": outcome.type, "error.message": outcome.message})
    elif isinstance(outcome, Skipped):
        span.set_tags({"outcome": "skipped", "reason": outcome.reason})
    elif isinstance(outcome, Done):
        span.set_tag("outcome", "done")
