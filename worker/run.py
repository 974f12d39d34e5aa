"""One attempt, from claim to verdict: begin, resume, work, commit, close, report.

The command line, the admin API's child processes and the tests all come through here; what they give is the parts.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from worker import beside, process
from worker.beginning import Beginning, Idle, checkpoint, narrow
from worker.claim import Granted
from worker.ending import broken, judged, next_command
from worker.engine import Engine
from worker.errors import DatabaseAway, Faults, Transient
from worker.events import History, Start, Summary
from worker.ledger import Ledger
from worker.parts import Parts
from worker.replay import DeadLetters
from worker.scope import shown
from worker.shard_reports import tell_whole
from worker.sharing import Sharing
from worker.sink import PageCommits
from worker.source import Acknowledging, JsonKey, Key, Record
from worker.tally import Tally
from worker.verdict import Verdict

_COUNTING_S = 10.0
_HISTORY_S = 2.0


async def attempt(parts: Parts) -> Summary:
    """Make one attempt at a run and say how it ended. Raises Faults when it cannot start."""
    return await _Attempt(parts).make()


class _Attempt:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._began = asyncio.get_running_loop().time()
        self._start = self._introduce(None)
        self._engine: Engine | None = None
        self._cpu_before = 0.0
        self._samples: Sequence[str] = ()
        self._whole: Summary | None = None

    async def make(self) -> Summary:
        try:
            return await self._make()
        finally:
            await self._leave()

    async def _make(self) -> Summary:
        parts = self._parts
        try:
            begun = await Beginning(parts).get()
        except DatabaseAway as error:
            return await self._report(self._summary(Verdict.INTERRUPTED, parts.mask(str(error))))
        if isinstance(begun, Idle):
            return await self._report(self._summary(begun.verdict, begun.detail, followed=begun.followed))
        self._start = self._introduce(begun)
        self._began = asyncio.get_running_loop().time()  # watching another attempt is not our work
        try:
            narrow(begun, parts)
            after, open_keys = checkpoint(begun, parts.source)
        except Faults as faults:
            await self._close(self._summary(Verdict.NOT_STARTED, str(faults)))
            raise
        parts.reporter.started(self._start)
        try:
            verdict, detail = await self._work(begun, after, open_keys)
        except Exception as error:
            verdict, detail = broken(error, parts.mask)
            if verdict is Verdict.CRASHED:
                parts.run.log.error("the attempt broke", exc_info=error)
        return await self._finish(verdict, detail)

    # --- the work -------------------------------------------------------------------------------------------------------

    async def _work(self, granted: Granted, after: Key | None, open_keys: list[Key]) -> tuple[Verdict, str]:
        parts, source = self._parts, self._parts.source
        parts.run.identify = lambda record: self._identity(record, granted)
        ledger = Ledger(
            keeps_results=parts.job.write is not None or parts.run.dry_run,  # some of them are shown
            keeps_records=isinstance(source, Acknowledging) and granted.replay is None,
            mends=granted.replay is not None,
            encode=source.encode,
            budget=parts.errors,
            before=granted.before,
            forgiven=granted.forgiven,
            max_affected=parts.most_affected,
            mask=parts.mask,
            on_group=parts.reporter.failed,
        )
        sink = PageCommits(parts, ledger, whole=granted.whole)
        self._engine = engine = Engine(
            parts.job,
            parts.run,
            source if granted.replay is None else DeadLetters(source, parts.store.letters, self._gone),
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
        self._cpu_before = process.cpu_seconds()
        deadline_s = parts.job.timeout.total_seconds()
        timer = asyncio.get_running_loop().call_later(
            deadline_s, parts.stop.ask, f"the deadline of {deadline_s:g} s passed"
        )
        beside = [asyncio.create_task(self._keep_lease(engine)), asyncio.create_task(self._count(engine))]
        beside += [asyncio.create_task(self._share(sharing, engine)) for sharing in parts.sharing]
        try:
            await engine.work()
        finally:
            self._samples = tuple(sink.samples)
            timer.cancel()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await asyncio.gather(*(sharing.leave() for sharing in parts.sharing), return_exceptions=True)
        if parts.job.finish is not None and engine.complete and (failed := ledger.run_tally.failed):
            parts.run.log.warning("finish() of the job was not called: %d records of the run are failed", failed)
        return judged(engine, parts)

    def _identity(self, record: Record, granted: Granted) -> str:
        """Make a record's idempotency key: the same in every attempt at the run, another in each replay of its failures."""
        source = self._parts.source
        replay: int | str = granted.replay or 0
        if replay and self._parts.shard:
            replay = f"{self._parts.shard}, {replay}"  # the run itself has replays of its own
        named = [self._parts.run.run_id, replay, source.encode(source.key(record))]
        return hashlib.sha256(msgspec.json.encode(named)).hexdigest()[:40]

    async def _gone(self, keys: Sequence[JsonKey]) -> None:
        """Take dead letters off the list whose records are no longer there."""
        await self._parts.store.mend(keys)
        assert self._engine is not None, "it asked"
        self._engine.supply.read += len(keys)
        for _ in keys:
            self._engine.ledger.gone()

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

    async def _share(self, sharing: Sharing, engine: Engine) -> None:
        """Keep a shared limit at this task's portion while the work goes on."""
        try:
            await sharing.work()
        except Exception as error:  # noqa: BLE001 - without it the task would wait for permits that never come
            engine.fail(error)

    async def _count(self, engine: Engine) -> None:
        """Find out about how many records there are, for progress alone."""
        cursor, open_keys = engine.supply.cursor(), engine.supply.parked
        with contextlib.suppress(Transient, TimeoutError):
            async with asyncio.timeout(_COUNTING_S):
                total = await engine.source.count(cursor)
            if total is not None:
                at_most = self._parts.max_records
                engine.total = total + open_keys if at_most is None else min(at_most, total + open_keys)

    # --- the end --------------------------------------------------------------------------------------------------------

    async def _finish(self, verdict: Verdict, detail: str) -> Summary:
        """Close the attempt in the run store, and report. A run that the store does not know to be over is not over."""
        parts = self._parts
        history = await self._history() if parts.shard is None else None
        summary = self._summary(verdict, detail, history)
        if not await self._close(summary) and verdict.finished:
            summary = self._summary(Verdict.INTERRUPTED, "all is done, but the run store could not be told", history)
        await self._report(summary)
        await self._report_whole()
        return summary

    async def _history(self) -> History | None:
        parts = self._parts
        try:
            async with asyncio.timeout(0 if parts.stop else _HISTORY_S):
                return await parts.store.history(parts.claim())
        except Exception as error:  # noqa: BLE001 - a summary without it is a summary
            parts.run.log.debug("no comparison with earlier runs: %r", error)
        return None

    async def _report_whole(self) -> None:
        """Report the run of all shards, where this was the last of them to end."""
        if self._whole is not None:
            whole = replace(self._whole, history=await self._history())
            await tell_whole(self._parts.store, whole, self._parts.reporter, self._parts.plan.report)

    async def _close(self, summary: Summary) -> bool:
        """Close the attempt in the run store: with the run's patience, from a stop on within the stop plan's time; tell whether it did."""
        parts = self._parts
        kept = replace(summary, links={label: parts.mask(url) for label, url in summary.links.items()})
        telling = asyncio.create_task(self._tell(kept))
        stopped = asyncio.create_task(parts.stop.wait())
        await asyncio.wait((telling, stopped), timeout=parts.patience_s, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        try:
            async with asyncio.timeout(parts.plan.left_to_commit(parts.stop) if parts.stop else 0):
                await telling
        except Exception as error:  # noqa: BLE001 - how it ended is to be reported, whatever becomes of this
            said = "it did not answer in time" if isinstance(error, TimeoutError) else repr(error)
            parts.run.log.error("the end of the attempt is not in the run store: %s", said)
            return False
        return True

    async def _tell(self, summary: Summary) -> None:
        """Tell the run store until it answers; it has nothing to hear from who lost its lease."""
        pause = 0.1
        while True:
            try:
                self._whole = await self._parts.store.end(summary)
                return
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

    # --- what is told ---------------------------------------------------------------------------------------------------

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
            max_affected=parts.max_affected,
            shard=str(parts.shard) if parts.shard else None,
            replay=granted.replay if granted else None,
            resumed_from=granted.cursor if granted else None,
            source=f"by {parts.source.order}; {parts.source.promise.value}",
            sink=parts.sink,
            limits=parts.limits,
            stop_plan=parts.plan,
            deadline_s=parts.job.timeout.total_seconds(),
            task=parts.task,
            cause=parts.cause,
            version=parts.version,
            started_at=datetime.now(UTC),
            before=granted.before if granted else Tally(),
            tolerated=parts.job.errors.tolerated,
        )

    def _summary(
        self, verdict: Verdict, detail: str, history: History | None = None, *, followed: Verdict | None = None
    ) -> Summary:
        parts, engine = self._parts, self._engine
        duration = asyncio.get_running_loop().time() - self._began
        summary = Summary(
            start=self._start,
            verdict=verdict,
            followed=followed,
            detail=detail,
            ended_at=datetime.now(UTC),
            duration_s=duration,
            peak_memory=process.peak_memory(),
            cpu_s=process.cpu_seconds(),
            history=history,
            samples=tuple(self._samples),
            links=beside.links(parts.run.links, parts.run.log) | parts.links,
            counters=beside.counters(parts.run.counters),
            next_command=next_command(parts, verdict, engine.ledger if engine else None),
        )
        return summary if engine is None else _counted(summary, engine, self._cpu_before, parts.sharing)


def _counted(summary: Summary, engine: Engine, cpu_before: float, sharings: Sequence[Sharing]) -> Summary:
    """Add what the engine has counted: of records what was committed; the rest is unfinished."""
    tally = engine.ledger.saved.copy()
    tally.read = engine.supply.read
    return replace(
        summary,
        tally=tally,
        run_tally=engine.ledger.run_total(tally),
        total=engine.total,
        rate=tally.finished / summary.duration_s if summary.duration_s else 0.0,
        oldest_age_s=engine.oldest_age_s,
        throttled_s=engine.throttled_s,
        limited_by=engine.limited_by,
        commits=engine.committer.commits,
        spent=replace(engine.spent, cpu_s=summary.cpu_s - cpu_before),
        errors=engine.ledger.groups(),
        portions={sharing.rate.name: sharing.portion for sharing in sharings},
    )
