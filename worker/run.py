"""One attempt, from claim to exit code: check, take the lease, resume, work, commit, report.

The command line, the admin API's child processes and the tests all come through here; what they give is the parts.
"""

import asyncio
import contextlib
import shlex
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from worker import process
from worker.claim import Claim, Granted, Held, Over
from worker.engine import Engine
from worker.errors import DatabaseAway, Faults, LeaseLost, Transient
from worker.events import History, Reporter, Start, Summary, Task
from worker.job import Job, Result, Run
from worker.ledger import Batch, Committed, DeadLetter, Ledger, Writing
from worker.limits import Limits
from worker.mask import Mask
from worker.rate import RateLimit
from worker.scope import encode, secrets, shown, whole
from worker.source import Key, Source
from worker.stop import Stop, StopPlan
from worker.tally import Tally
from worker.verdict import Verdict
from worker.writing import Writer

T = TypeVar("T")

_COUNTING_S = 10.0
_HISTORY_S = 2.0
_LOOKS = 20
"""So often is a holder looked at while it is watched."""
_SAMPLES = 5


class Store(Protocol):
    """The run store, as an attempt uses it."""

    lease_s: float

    async def check(self) -> list[str]:
        """Find what keeps the store from being used."""
        ...

    async def claim(self, claim: Claim, successor_of: Held | None = None) -> Granted | Held | Over:
        """Take the lease and begin an attempt, or say why not."""
        ...

    async def newer(self) -> str | None:
        """Say so when the store was made for a newer worker."""
        ...

    async def heartbeat(self) -> None:
        """Renew the lease."""
        ...

    async def commit(self, batch: Batch, source: str, writing: Writing) -> Committed:
        """Commit a page."""
        ...

    async def end(self, summary: Summary) -> None:
        """Close the attempt and give the lease back."""
        ...

    async def history(self, claim: Claim) -> History | None:
        """Give the median of the runs before this one."""
        ...

    def is_refusal(self, error: Exception) -> bool:
        """Tell whether a failed write may be one result's own fault."""
        ...


@dataclass(kw_only=True)
class Parts:
    """What the front door builds for an attempt."""

    job: Job[Any]
    run: Run[Any]
    source: Source
    store: Store
    limits: Limits
    rates: dict[str, RateLimit]
    stop: Stop
    plan: StopPlan
    mask: Mask
    task: Task = field(default_factory=Task)
    version: str = ""
    host: str = ""
    reporter: Reporter = field(default_factory=Reporter)
    links: dict[str, str] = field(default_factory=dict)
    max_records: int | None = None
    restart: bool = False
    connect_timeout_s: float = 60.0
    patience_s: float = 300.0


async def attempt(parts: Parts) -> Summary:
    """Make one attempt at a run and say how it ended. Raises Faults when it cannot start."""
    return await _Attempt(parts).make()


class _Attempt:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._claim = _claim(parts)
        self._began = asyncio.get_running_loop().time()
        self._start = self._introduce(None)
        self._engine: Engine | None = None

    async def make(self) -> Summary:
        try:
            return await self._make()
        finally:
            await self._leave()

    async def _make(self) -> Summary:
        parts = self._parts
        try:
            granted = await self._begin()
        except DatabaseAway as error:
            return await self._report(self._summary(Verdict.INTERRUPTED, parts.mask(str(error))))
        if isinstance(granted, Summary):
            return await self._report(granted)
        self._start = self._introduce(granted)
        try:
            after, open_keys = _checkpoint(granted, parts.source)
        except Faults as faults:
            await self._close(self._summary(Verdict.NOT_STARTED, str(faults)))
            raise
        parts.reporter.started(self._start)
        try:
            verdict, detail = await self._work(after, open_keys)
        except Exception as error:  # noqa: BLE001 - whatever broke, the attempt is closed and reported
            verdict, detail = _broken(error, parts.mask)
        return await self._finish(verdict, detail)

    # --- before the work ------------------------------------------------------------------------------------------------

    async def _begin(self) -> Granted | Summary:
        """Check everything, then claim the run; a summary when there is nothing to do."""
        await self._check()
        answer = await self._patiently(lambda: self._parts.store.claim(self._claim))
        if isinstance(answer, Held):
            answer = await self._watch(answer)
        if isinstance(answer, Over):
            return self._summary(
                Verdict.ALREADY_DONE, f"it {answer.verdict.word} at {answer.ended_at:%Y-%m-%d %H:%M:%S %Z}"
            )
        if isinstance(answer, Held):
            same = answer.run_id == self._claim.run_id
            detail = f"attempt {answer.attempt} of run {answer.run_id} is at work"
            if self._parts.stop:
                return self._summary(Verdict.INTERRUPTED, f"{self._parts.stop.reason}, while watching whether {detail}")
            return self._summary(Verdict.ALREADY_RUNNING if same else Verdict.OVERLAPPED, detail)
        return answer

    async def _check(self) -> None:
        """Find every fault at once: schema, query, and what the job itself checks (with a permit: it may make a call)."""
        parts = self._parts
        faults = await _asked("open", parts.job.open(parts.run))
        checks = [] if faults else [_asked("check", self._job_check())]
        checks += [self._patiently(parts.store.check), self._patiently(parts.source.check)]
        broken: list[BaseException] = []
        for answer in await asyncio.gather(*checks, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(answer, Faults):
                broken.append(answer)
            else:
                faults += answer.faults if isinstance(answer, Faults) else answer
        if faults:
            raise Faults(dict.fromkeys(map(parts.mask, faults)))
        if broken:
            raise broken[0]
        if newer := await self._patiently(parts.store.newer):
            parts.run.log.warning(newer)

    async def _job_check(self) -> list[str]:
        await self._parts.rates[_main(self._parts.limits)].acquire()
        return await self._parts.job.check(self._parts.run)

    async def _watch(self, held: Held) -> Granted | Held | Over:
        """Watch the holder for one lease time: if it shows no sign of life, succeed it."""
        store, clock = self._parts.store, asyncio.get_running_loop().time
        step, quiet = store.lease_s / _LOOKS, 0
        while quiet < _LOOKS:
            await self._pause(step)
            if self._parts.stop:
                return held
            asked = clock()
            answer = await self._patiently(lambda: store.claim(self._claim))
            if not isinstance(answer, Held) or answer.sign != held.sign:
                return answer
            quiet = quiet + 1 if clock() - asked < step else 0  # it was away for its holder too
        return await self._patiently(lambda: store.claim(self._claim, successor_of=held))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Wait for a database that does not answer yet: a failover at night must not lose the run."""
        parts, pause = self._parts, 0.1
        until = asyncio.get_running_loop().time() + parts.connect_timeout_s
        while True:
            try:
                return await call()
            except Transient as error:
                if asyncio.get_running_loop().time() + pause > until or parts.stop:
                    raise DatabaseAway(f"{error} (waited for {parts.connect_timeout_s:g} s)") from error
                parts.run.log.warning("waiting for the database: %s", error)
            await self._pause(pause)
            pause = min(2.0, pause * 2)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._parts.stop.wait(), seconds)

    # --- the work -------------------------------------------------------------------------------------------------------

    async def _work(self, after: Key | None, open_keys: list[Key]) -> tuple[Verdict, str]:
        parts, source = self._parts, self._parts.source
        ledger = Ledger(
            keeps_results=parts.job.write is not None,
            encode=source.encode,
            budget=parts.job.errors,
            before=self._start.before,
            mask=parts.mask,
            on_group=parts.reporter.failed,
        )
        sink = _Sink(parts, ledger)
        self._engine = engine = Engine(
            parts.job,
            parts.run,
            source,
            sink,
            ledger=ledger,
            after=after,
            open_keys=open_keys,
            max_records=parts.max_records,
            limits=parts.limits,
            rates=parts.rates,
            stop=parts.stop,
            plan=parts.plan,
            reporter=parts.reporter,
            patience_s=parts.patience_s,
        )
        deadline_s = parts.job.timeout.total_seconds()
        timer = asyncio.get_running_loop().call_later(
            deadline_s, parts.stop.ask, f"the deadline of {deadline_s:g} s passed"
        )
        beside = [asyncio.create_task(self._keep_lease(engine)), asyncio.create_task(self._count(engine))]
        try:
            await engine.work()
        finally:
            timer.cancel()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        self._samples = sink.samples
        return _judged(engine, parts)

    async def _keep_lease(self, engine: Engine) -> None:
        """Be heard of while the work goes on; page commits do the same."""
        store = self._parts.store
        while True:
            await asyncio.sleep(store.lease_s / 3)
            try:
                await store.heartbeat()
            except Transient as error:
                self._parts.run.log.debug("no heartbeat: %s", error)
            except Exception as error:  # noqa: BLE001 - a lease that nobody renews must not go unnoticed
                engine.fail(error)
                return

    async def _count(self, engine: Engine) -> None:
        """Find out about how many records there are, for progress alone."""
        source, cursor = self._parts.source, engine.supply.cursor()
        open_keys = engine.supply.parked
        with contextlib.suppress(Transient, TimeoutError):
            async with asyncio.timeout(_COUNTING_S):
                total = await source.count(cursor)
            if total is not None:
                at_most = self._parts.max_records
                engine.total = total + open_keys if at_most is None else min(at_most, total + open_keys)

    # --- the end --------------------------------------------------------------------------------------------------------

    async def _finish(self, verdict: Verdict, detail: str) -> Summary:
        """Close the attempt in the run store, and report. A run that the store does not know to be over is not over."""
        parts = self._parts
        history = None
        try:
            async with asyncio.timeout(0 if parts.stop else _HISTORY_S):
                history = await parts.store.history(self._claim)
        except Exception as error:  # noqa: BLE001 - a summary without it is a summary
            parts.run.log.debug("no comparison with earlier runs: %r", error)
        summary = self._summary(verdict, detail, history)
        if not await self._close(summary) and verdict.finished:
            summary = self._summary(Verdict.INTERRUPTED, "all is done, but the run store could not be told", history)
        return await self._report(summary)

    async def _close(self, summary: Summary) -> bool:
        """Close the attempt in the run store, with the run's patience, from a stop on within the stop plan's time; tell whether it did."""
        parts = self._parts
        telling = asyncio.create_task(self._tell(summary))
        stopped = asyncio.create_task(parts.stop.wait())
        await asyncio.wait((telling, stopped), timeout=parts.patience_s, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        try:
            async with asyncio.timeout(parts.plan.left_to_commit(parts.stop) if parts.stop else 0):
                await telling
        except Exception as error:  # noqa: BLE001 - how it ended is to be reported, whatever becomes of this
            parts.run.log.error("the end of the attempt is not in the run store: %r", error)
            return False
        return True

    async def _tell(self, summary: Summary) -> None:
        """Tell the run store until it answers."""
        pause = 0.1
        while True:
            try:
                return await self._parts.store.end(summary)
            except Transient as error:
                self._parts.run.log.warning("waiting for the database: %s", error)
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)

    async def _leave(self) -> None:
        """Close what the job opened; what breaks then changes nothing any more."""
        try:
            await self._parts.run.resources.aclose()
        except Exception:
            self._parts.run.log.exception("what the job opened could not be closed")

    async def _report(self, summary: Summary) -> Summary:
        await self._parts.reporter.ended(summary, self._parts.plan.report)
        return summary

    def _introduce(self, granted: Granted | None) -> Start:
        parts, run = self._parts, self._parts.run
        if granted is not None:
            run.attempt = granted.attempt
        return Start(
            job=run.job,
            run_id=run.run_id,
            run_key=run.run_key,
            attempt=run.attempt,
            scope=shown(run.scope),
            dry_run=run.dry_run,
            max_records=parts.max_records,
            resumed_from=granted.cursor if granted else None,
            source=f"by {parts.source.order}; {parts.source.promise.value}",
            limits=parts.limits,
            stop_plan=parts.plan,
            deadline_s=parts.job.timeout.total_seconds(),
            task=parts.task,
            version=parts.version,
            started_at=datetime.now(UTC),
            before=granted.before if granted else Tally(),
        )

    def _summary(self, verdict: Verdict, detail: str, history: History | None = None) -> Summary:
        parts, engine = self._parts, self._engine
        duration = asyncio.get_running_loop().time() - self._began
        if engine is None:
            return Summary(
                start=self._start, verdict=verdict, detail=detail, ended_at=datetime.now(UTC), duration_s=duration
            )
        tally = engine.ledger.saved.copy()
        tally.read = engine.supply.read
        return Summary(
            start=self._start,
            verdict=verdict,
            detail=detail,
            ended_at=datetime.now(UTC),
            duration_s=duration,
            tally=tally,
            run_tally=self._start.before.plus(tally),
            total=engine.total,
            rate=tally.finished / duration if duration else 0.0,
            oldest_age_s=engine.oldest_age_s,
            throttled_s=engine.throttled_s,
            limited_by=engine.limited_by,
            peak_memory=process.peak_memory(),
            cpu_s=process.cpu_seconds(),
            commits=engine.commits,
            history=history,
            errors=engine.ledger.groups(),
            samples=tuple(self._samples),
            links=parts.links,
            next_command=_next_command(parts, verdict),
        )

    _samples: Sequence[str] = ()


class _Sink:
    """The page commit of an attempt: its job's `write` within the store's transaction."""

    def __init__(self, parts: Parts, ledger: Ledger) -> None:
        self._parts = parts
        self.samples: list[str] = []
        write = self._pretend if parts.run.dry_run else parts.job.write

        def letter(result: Result, error: Exception) -> DeadLetter:
            return ledger.refusal(parts.source.key(result.record), error)

        self._writer = Writer(write, letter, parts.store.is_refusal)

    async def commit(self, batch: Batch) -> Committed:
        return await self._parts.store.commit(batch, self._parts.source.order, self._writer)

    async def _pretend(self, results: Sequence[Result], connection: Any) -> None:
        """Note what a dry run would have written."""
        for result in results[: _SAMPLES - len(self.samples)]:
            key = self._parts.source.encode(self._parts.source.key(result.record))
            self.samples.append(self._parts.mask(f"{', '.join(map(str, key))}: {result.value!r}"))


def _claim(parts: Parts) -> Claim:
    run = parts.run
    mode = "dry-run" if run.dry_run else "canary" if parts.max_records is not None else "run"
    lease = run.job if mode != "dry-run" else f"{run.job} dry-run"
    if parts.job.one_per_scope:
        lease += f" {encode(run.scope)}"
    return Claim(
        job=run.job,
        run_key=run.run_key,
        lease=lease,
        mode=mode,
        scope=shown(run.scope),
        whole_scope=whole(run.scope),
        task_arn=parts.task.arn,
        host=parts.host,
        version=parts.version,
        restart=parts.restart,
    )


def _checkpoint(granted: Granted, source: Source) -> tuple[Key | None, list[Key]]:
    """Read where the run goes on. Raises Faults where that was noted by another key."""
    if granted.source not in (None, source.order):
        raise Faults(
            [f"the run's cursor is by {granted.source}, the source's key is now {source.order}: run with --restart"]
        )
    try:
        after = None if granted.cursor is None else source.decode(granted.cursor)
        return after, [source.decode(key) for key in granted.open_keys]
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise Faults(
            [
                f"the run's cursor {granted.cursor} is no value of {source.order}, whose type has changed: run with --restart"
            ]
        ) from error


async def _asked(what: str, answering: Awaitable[Iterable[str] | None]) -> list[str]:
    """Have the job say what is wrong; what it raises is wrong too."""
    try:
        return list(await answering or ())
    except Faults as faults:
        return list(faults.faults)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job's author must hear of it before any record is touched
        return [f"{what}() of the job raised {type(error).__name__}: {error}"]


def _main(limits: Limits) -> str:
    return limits.rate.name if limits.rate else "rate"


def _broken(error: Exception, mask: Mask) -> tuple[Verdict, str]:
    """Give the verdict on an attempt that something ended."""
    if isinstance(error, LeaseLost):
        return Verdict.LEASE_LOST, mask(str(error))
    if isinstance(error, DatabaseAway):
        return Verdict.INTERRUPTED, mask(str(error))
    return Verdict.CRASHED, mask(f"{type(error).__name__}: {error}".encode(errors="replace").decode())


def _judged(engine: Engine, parts: Parts) -> tuple[Verdict, str]:
    """Give the verdict on an attempt that came to its end by itself."""
    if engine.ledger.overdrawn:
        return Verdict.ABORTED, engine.ledger.overdrawn
    if not engine.complete:
        return Verdict.INTERRUPTED, parts.stop.reason or "stopped"
    tally = engine.ledger.run_tally
    if not parts.job.errors.tolerates(tally):
        return Verdict.COMPLETED_WITH_FAILURES, f"{tally.failed:,} of {tally.finished:,} records failed"
    return Verdict.SUCCEEDED, ""


def _next_command(parts: Parts, verdict: Verdict) -> str | None:
    """Give what a person would type to go on, where there is something to do."""
    if verdict not in (Verdict.INTERRUPTED, Verdict.ABORTED, Verdict.CRASHED, Verdict.LEASE_LOST):
        return None
    run = parts.run
    if secrets(run.scope):
        return None  # it would have to show them
    scope = [f"--scope {shlex.quote(f'{name}={_text(value)}')}" for name, value in encode(run.scope).items()]
    return " ".join(["python -m worker", run.job, f"--run-key {run.run_key}", *scope])


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
