"""A job on trial: what it leaves behind undisturbed, and rounds in which it is disturbed and must leave the same."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from worker.testing.attempt import Attempt
from worker.testing.elsewhere import Fresh, World, left_in, nowhere, rows_of, with_run_table
from worker.testing.proxy import Proxy
from worker.testing.report import Report
from worker.testing.state import Counts, State, copied, state

RUN_KEY = "trial"

ReadState = Callable[[str], Awaitable[State]]
"""Reads what a run, by its name, left behind."""

Calls = Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The job, its small data set, and how to look at both."""

    job: str
    database: str | None
    environment: Mapping[str, str]
    world: Fresh = nowhere
    compare: Sequence[str] | None = None
    except_columns: Sequence[str] = ()
    counts: Counts = "exact"
    calls: Calls = dict
    lease_s: float = 1.0
    within_s: float = 60.0

    @property
    def stop_timeout_s(self) -> float:
        """Give the seconds that an attempt has from SIGTERM on."""
        return float(self.environment.get("STOP_TIMEOUT", 30))


class Trial:
    """Rounds of one subject; each works on a copy of its own of the data set."""

    def __init__(self, subject: Subject, seed: int) -> None:
        self.subject = subject
        self.random = random.Random(seed)  # noqa: S311 - to be repeated, not to be kept secret
        self.report = Report(subject.job, seed)
        self._undisturbed: State | None = None
        self._calls: Counter[str] = Counter()
        self.commits = 0
        """COMMITs of an undisturbed run: the claim's, each page's, the end's."""

    async def begin(self) -> None:
        """Run the job undisturbed, and remember what that leaves behind."""
        subject, clock = self.subject, asyncio.get_running_loop().time
        before = Counter(subject.calls())
        async with self._copy() as running:
            began = clock()
            async with running.attempt() as attempt:
                code = await running.code(attempt)
            self.report.duration_s = clock() - began
            self.commits = running.proxy.commits if self.subject.database else 0
            if code not in (0, 1):
                raise AssertionError(f"undisturbed {subject.job} ends with {code}:{attempt.last_words}")
            self._undisturbed = left = await running.left()
        self._calls = Counter(subject.calls()) - before
        self.report.records, self.report.calls = left.tally.finished, self._calls.total()

    @asynccontextmanager
    async def round(self, kind: str) -> AsyncIterator["Round"]:
        """Give a fresh copy to disturb; afterwards all must be as if nobody had. Raises AssertionError with what broke it."""
        before = Counter(self.subject.calls())
        async with self._copy() as running:
            try:
                yield running
                assert self._undisturbed is not None, "begin comes first"
                faults = (await running.left()).faults(self._undisturbed, self.subject.counts)
            except (AssertionError, TimeoutError) as error:
                faults = [str(error) or f"something took longer than {self.subject.within_s:g} s"]
            if faults:
                raise AssertionError(self._told(running, faults))
        repeated = Counter(self.subject.calls()) - before - self._calls
        self.report.add(kind, len(running.history), running.attempts, running.verdicts, repeated)

    @asynccontextmanager
    async def _copy(self) -> AsyncIterator["Round"]:
        subject = self.subject
        async with subject.world() as world:  # first: it may fill the database
            if subject.database is None:
                environment = await with_run_table(world)
                yield Round(subject, environment, partial(left_in, world, environment))
            else:
                async with copied(subject.database) as url, Proxy(url) as proxy:
                    environment = {**world.environment, "DATABASE_URL": proxy.url}
                    yield Round(subject, environment, partial(self._left, url, world), proxy)

    async def _left(self, url: str, world: World, run_id: str) -> State:
        """Read what a run left behind in its copy of the database, and beside it."""
        left = await state(url, self.subject.compare, self.subject.except_columns, run_id)
        return replace(left, rows=left.rows | await rows_of(world))

    def _told(self, running: "Round", faults: list[str]) -> str:
        happened = "".join(f"\n  - {what}" for what in running.history)
        wrong = "".join(f"\n  - {fault}" for fault in faults)
        return (
            f"{self.subject.job} did not survive (seed {self.report.seed}, run {self.report.runs + 1})\n"
            f" what was done to it:{happened or ' nothing'}\n what is wrong:{wrong}\n"
            f" its last words: {running.last_words}"
        )


class Round:
    """One run on one copy of the data set, behind a proxy; over several attempts if it must be."""

    def __init__(
        self, subject: Subject, environment: Mapping[str, str], read: ReadState, proxy: Proxy | None = None
    ) -> None:
        self._subject, self._environment, self._read, self._proxy = subject, environment, read, proxy
        self.history: list[str] = []
        """What was done to it, in words."""
        self.attempts = 0
        self.verdicts: Counter[str] = Counter()
        self.run_key = RUN_KEY
        """Of the run that does the work."""
        self.last_words = ""

    @property
    def proxy(self) -> Proxy:
        """Give what stands before the copy of the database."""
        assert self._proxy is not None, "asked for only where there is a database"
        return self._proxy

    @asynccontextmanager
    async def attempt(
        self, run_key: str = RUN_KEY, arguments: tuple[str, ...] = (), **environment: str
    ) -> AsyncIterator[Attempt]:
        """Start an attempt; it has ended when this is left."""
        self.attempts += 1
        given = {
            **self._subject.environment,
            **self._environment,
            "LEASE": f"{self._subject.lease_s:g}",
            **environment,
        }
        async with Attempt(self._subject.job, run_key, given, arguments) as attempt:
            yield attempt
        self.verdicts[attempt.verdict or "killed"] += 1
        self.last_words = attempt.last_words

    async def code(self, attempt: Attempt) -> int:
        """Wait for an attempt's end and give its exit code."""
        return await attempt.ended(self._subject.within_s)

    async def finish(self) -> None:
        """Start the run once more, undisturbed: it must come to its end."""
        async with self.attempt() as attempt:
            code = await self.code(attempt)
        if code not in (0, 1):
            raise AssertionError(f"the next attempt ended with {code}, {attempt.verdict}: {attempt.detail}")

    async def left(self) -> State:
        """Read what the run left behind."""
        return await self._read(f"{self._subject.job}:{self.run_key}")
