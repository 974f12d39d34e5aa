"""What a job is: a class with a source, one function for a record, and one that writes a page."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar, get_args

from worker.budget import ErrorBudget
from worker.limits import Limits
from worker.occasions import Backlog, ObjectCreated
from worker.outcome import Outcome
from worker.retry import Retry
from worker.run_key import time_in
from worker.schedule import Cron, Every, hours
from worker.scope import Scope
from worker.size import Size
from worker.source import Record, Source

S = TypeVar("S", bound=Scope)
T = TypeVar("T")


class Result(NamedTuple):
    """A finished record on its way into the page commit: the record as read, and the value that `done` carried."""

    record: Record
    value: Any


Results: TypeAlias = Sequence[Result]
"""The results of a page."""

Connection: TypeAlias = Any
"""The database connection of the page commit, already in its transaction (asyncpg's, for PostgreSQL)."""

Written: TypeAlias = Sequence[Record] | None
"""What `write` says it really wrote: rows that hold the key columns; None: all of it."""

VALUE = object()
"""Names, in `columns`, the value that `done` carried."""


def columns(results: Iterable[Result], *names: Any) -> list[list[Any]]:
    """Turn results into one list a column, as `unnest` wants them; VALUE stands for the value that `done` carried."""
    results = list(results)
    return [
        [result.value for result in results] if name is VALUE else [result.record[name] for result in results]
        for name in names
    ]


Call: TypeAlias = Callable[..., Awaitable[Any]]


def _as_it_is(call: Call) -> Call:
    return call


@dataclass
class Run(Generic[S]):
    """What a job may know of the run it works for."""

    job: str
    run_key: str
    scope: S
    attempt: int = 1
    dry_run: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("job"))
    permits: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    database_url: str = field(default="", repr=False)
    links: dict[str, str] = field(default_factory=dict)
    """Label to URL: what the summary is to link to, such as a report that the job has made."""
    counters: Counter[str] = field(default_factory=Counter)
    """What else is counted, for the summary and the metrics: `run.counters["bytes"] += n`."""
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)
    identify: Callable[[Record], str] = field(default=str)
    traced: Callable[[Call], Call] = field(default=_as_it_is, repr=False)
    """Puts what a client sends into the run's trace; gives it back as it is where there is none."""

    @property
    def run_id(self) -> str:
        """Give the run's name everywhere: `job:run-key`."""
        return f"{self.job}:{self.run_key}"

    @property
    def due(self) -> datetime:
        """Give the time that the run key names, in UTC: when it was scheduled, the same in every attempt; now where it names none."""
        return time_in(self.run_key) or datetime.now(UTC)

    def idempotency_key(self, record: Record) -> str:
        """Give what tells the other side that a call for this record is the same call again.

        It is the same over retries and resumes within the run; a replay of what had failed makes a new one, for an API may
        answer a known key with the failure that it has stored.
        """
        return self.identify(record)

    async def enter(self, resource: AbstractAsyncContextManager[T]) -> T:
        """Open what the attempt shares; it is closed at the attempt's end, last opened first."""
        return await self.resources.enter_async_context(resource)

    async def permit(self, name: str) -> None:
        """Wait for a permit of the named rate limit."""
        await self.permits[name]()


class Job(Generic[S]):
    """A batch job: subclass it in `jobs/<name>.py`, with a `Scope` of its own in the brackets."""

    name: ClassVar[str] = ""
    """The file's name with dashes; set when the file is loaded."""
    Scope: ClassVar[type[Scope]] = Scope
    """The class in the brackets; set when the class is made."""

    schedule: ClassVar[Every | Cron | None] = None
    """When it is meant to run; None for a job that is only started by events or by hand."""
    timeout: ClassVar[timedelta] = hours(1)
    """The deadline of an attempt: what is finished by then is committed, the rest is for the next."""
    limits: ClassVar[Limits] = Limits()
    retry: ClassVar[Retry] = Retry()
    errors: ClassVar[ErrorBudget] = ErrorBudget()
    max_affected: ClassVar[int | None] = None
    """More results than these are never written by a run, over all its attempts: it ends as aborted instead, for something must
    be wrong; `--max-affected` allows more."""
    idempotent: ClassVar[bool] = False
    """Set where `write` goes elsewhere than the run's database (DynamoDB, S3, an API): it is called before the page commit, with
    None as its connection, and may be called again with the same results: doing so must do no harm."""
    one_per_scope: ClassVar[bool] = False
    """Let runs with different scopes go on at the same time; otherwise there is one run of the job at a time."""
    max_tasks: ClassVar[int] = 1
    """So many tasks of the job does the launcher let live at once; dry runs are counted apart."""
    size: ClassVar[Size | None] = None
    """What the launcher gives its tasks instead of their definition's CPU and memory."""
    on_object: ClassVar[ObjectCreated | None] = None
    """Which objects in S3 the launcher starts it for."""
    backlog: ClassVar[Backlog | None] = None
    """Of which queue it works off the backlog, with as many tasks as that needs."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """Environment variables that must be set and are never shown."""
    environment: ClassVar[Mapping[str, str | None]] = {}
    """Other environment variables it reads, with their defaults; None: must be set."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Scope):
                    cls.Scope = argument

    @classmethod
    def sized(cls, scope: S) -> Size | None:
        """Give the size of the task for this scope; `size`, where a job does not say otherwise."""
        return cls.size

    def source(self, run: Run[S]) -> Source:
        """Say where the records come from."""
        raise NotImplementedError

    async def open(self, run: Run[S]) -> None:
        """Open what the attempt shares (`await run.enter(...)`): clients, files."""

    async def check(self, run: Run[S]) -> list[str]:
        """Say what keeps the job from working, such as refused credentials; called once, after `open`, before any record."""
        return []

    async def process(self, record: Record, run: Run[S]) -> Outcome:
        """Work on one record and say what became of it; raise `Transient` for what is worth another try."""
        raise NotImplementedError

    write: ClassVar[Any] = None
    """`async def write(self, results, connection) -> Written`: record a page's results inside the page commit, and say which
    were really written; the others are counted as skipped: changed meanwhile. A job without it keeps no results."""

    finish: ClassVar[Any] = None
    """`async def finish(self, run, connection) -> None`: what is to be done once all records of a run were worked on, such as
    marking what was not among them: inside the last page commit. Not called for dry runs and canaries, nor while any record of the
    run is failed. It is called again if the attempt dies between that commit and its end: doing so must do no harm."""
