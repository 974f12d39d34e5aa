"""How an attempt begins: everything is checked, then the run is claimed, watched or followed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from worker.claim import Answer, Granted, Held, Over
from worker.errors import DatabaseAway, Faults, Permanent, Transient
from worker.parts import Parts
from worker.shards import Shard
from worker.sharing import Sharing
from worker.source import Acknowledging, Bounds, Connecting, Divisible, Key, Source
from worker.verdict import Verdict

T = TypeVar("T")

_NO_TRANSACTION = (
    "{job} writes inside the page commit, which needs PostgreSQL: set DATABASE_URL, "
    "or say idempotent = True in its class if write goes elsewhere and may be repeated"
)
_INDIVISIBLE = (
    "{job} cannot be worked on in shards: its source, by {order}, cannot be divided; "
    "a PostgreSQL query, a whole DynamoDB scan and the objects of an S3 prefix can"
)
_LOOKS = 20
"""So often is a holder looked at while it is watched."""


@dataclass(frozen=True, slots=True)
class Idle:
    """There is nothing for the attempt to do: with what verdict it ends, and whose verdict that is where it followed another."""

    verdict: Verdict
    detail: str
    followed: Verdict | None = None


class Beginning:
    """Get the run, or say why not."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._claim = parts.claim()
        self._clock = asyncio.get_running_loop().time

    async def get(self) -> Granted | Idle:
        """Check, then claim. Raises Faults for what is wrong, DatabaseAway for a database that was waited for in vain."""
        checked = await self._unless_stopped(self._check())
        if checked is None:
            return Idle(Verdict.INTERRUPTED, f"{self._parts.stop.reason}, while everything was checked")
        if self._claim.shard is not None:
            bounds = await self._unless_stopped(self._bounds(self._claim.shard))
            if bounds is None:
                return Idle(Verdict.INTERRUPTED, f"{self._parts.stop.reason}, while it was found out where to divide")
            self._claim = replace(self._claim, bounds=bounds)
        answer: Answer | Idle = await self._patiently(lambda: self._parts.store.claim(self._claim))
        while isinstance(answer, Held):
            answer = await self._watch(answer)
            if isinstance(answer, Held):
                if idle := await self._give_way(answer):
                    return idle
                answer = await self._patiently(lambda: self._parts.store.claim(self._claim))
        if isinstance(answer, Over):
            return Idle(Verdict.ALREADY_DONE, f"it {answer.verdict.word} at {answer.ended_at:%Y-%m-%d %H:%M:%S %Z}")
        return answer

    async def _bounds(self, shard: Shard) -> Bounds:
        """Give where the run is divided; where nobody has begun with it yet, find out: whoever claims first decides."""
        store, source = self._parts.store, self._parts.source
        assert isinstance(source, Divisible), "it was checked"
        known = await self._patiently(lambda: store.bounds(self._claim))
        return await self._patiently(lambda: source.bounds(shard.of)) if known is None else known

    async def _check(self) -> bool:
        """Find every fault at once: schema, query, and what the job itself checks, which may make calls."""
        async with contextlib.AsyncExitStack() as kept:
            for sharing in await self._first_portions():
                await kept.enter_async_context(sharing.kept())
            return await self._check_all()

    async def _first_portions(self) -> Sequence[Sharing]:
        """Get a portion of each shared limit. Raises Faults where the run store is not made, or has the limit in other windows."""
        parts = self._parts
        if parts.sharing and (faults := await self._patiently(parts.store.check)):
            if isinstance(parts.source, Connecting):  # asked of the database: nobody whom a limit protects
                faults += await self._check_source(opened=True)
            raise Faults(parts.masked(faults))
        for sharing in parts.sharing:
            try:
                await self._patiently(sharing.first)
            except Permanent as error:
                raise Faults([f"limit {sharing.rate.name}: {error}"]) from error
        return parts.sharing

    async def _check_all(self) -> bool:
        parts = self._parts
        faults = await _asked("open", parts.job.open(parts.run))
        opened = not faults
        job_check = [asyncio.create_task(self._check_job())] if opened else []
        if parts.job.write is not None and not (parts.job.idempotent or parts.store.transactional):
            faults.append(_NO_TRANSACTION.format(job=parts.run.job))
        if parts.shard is not None and not isinstance(parts.source, Divisible):
            faults.append(_INDIVISIBLE.format(job=parts.run.job, order=parts.source.order))
        try:
            faults += await self._patiently(parts.store.check)
            faults += await self._check_source(opened)
            for task in job_check:
                faults += await task
        finally:
            for task in job_check:
                task.cancel()
        if faults:
            raise Faults(parts.masked(faults))
        if newer := await self._patiently(parts.store.newer):
            parts.run.log.warning(newer)
        if parts.limits.record_timeout > parts.plan.drain:
            parts.run.log.warning(
                "a record may take %g s, the stop plan lets it drain for %.1f s: raise STOP_TIMEOUT or lower record_timeout",
                parts.limits.record_timeout,
                parts.plan.drain,
            )
        return True

    async def _check_source(self, opened: bool) -> list[str]:
        """Have the source look; one that reads through what the job could not open has nothing to add."""
        try:
            return await self._patiently(self._parts.source.check)
        except AttributeError:
            if opened:
                raise
            return []

    async def _check_job(self) -> list[str]:
        await self._parts.main_rate.acquire()  # it may make a call: that counts
        return await _asked("check", self._parts.job.check(self._parts.run))

    async def _watch(self, held: Held) -> Answer | Idle:
        """Watch the holder for one lease time: if it shows no sign of life, succeed it."""
        parts, store = self._parts, self._parts.store
        parts.run.log.info(
            "attempt %d of %s holds the lease: watching for at most %g s whether it is alive",
            held.attempt,
            held.run_id,
            store.lease_s,
        )
        step, quiet = store.lease_s / _LOOKS, 0
        while quiet < _LOOKS:
            await self._pause(step)
            if parts.stop:
                return Idle(Verdict.INTERRUPTED, f"{parts.stop.reason}, while watching whether {_at_work(held)}")
            asked = self._clock()
            answer = await self._patiently(lambda: store.claim(self._claim))
            if not isinstance(answer, Held) or answer.sign != held.sign:
                return answer
            quiet = quiet + 1 if self._clock() - asked < store.lease_s / 3 else 0  # it was away for its holder too
        parts.run.log.warning("it is dead: taking over from attempt %d of %s", held.attempt, held.run_id)
        return await self._patiently(lambda: store.claim(self._claim, successor_of=held))

    async def _give_way(self, held: Held) -> Idle | None:
        """Say that another is at work; or, where we are to wait, follow it and say how it ended: None when it is our turn."""
        same = held.run_id == self._claim.run_id
        if not self._parts.wait:
            idle = Idle(Verdict.ALREADY_RUNNING if same else Verdict.OVERLAPPED, _at_work(held))
            if not same:
                await self._patiently(lambda: self._parts.store.stand_aside(self._claim, idle.verdict, idle.detail))
            return idle
        log, began, tell_at = self._parts.run.log, self._clock(), self._parts.store.lease_s
        log.info("following attempt %d of %s", held.attempt, held.run_id)
        while (verdict := await self._patiently(lambda: self._parts.store.follow(held.run_id))) is None:
            await self._pause(self._parts.store.lease_s / _LOOKS)
            if self._parts.stop:
                return Idle(Verdict.INTERRUPTED, f"{self._parts.stop.reason}, while {_at_work(held)}")
            if (waited := self._clock() - began) >= tell_at:
                log.info("attempt %d of %s is still at work, after %.0f s", held.attempt, held.run_id, waited)
                tell_at *= 2
        return Idle(Verdict.ALREADY_RUNNING, f"{held.run_id} {verdict.word}", verdict) if same else None

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Wait for a database that does not answer yet: a failover at night must not lose the run."""
        parts, pause, since = self._parts, 0.1, self._clock()
        while True:
            try:
                return await call()
            except Transient as error:
                waited = self._clock() - since
                if parts.stop:
                    raise DatabaseAway(f"{parts.stop.reason}, while waiting for the database: {error}") from error
                if waited >= parts.connect_timeout_s:
                    why = f"waited for {waited:.1f} s: it is down, or its host and port are others"
                    raise DatabaseAway(f"{error} ({why})") from error
                left = max(0.0, parts.connect_timeout_s - waited)
                parts.run.log.warning("waiting for the database, up to %.0f s more: %s", left, error)
            await self._pause(min(pause, left))
            pause = min(2.0, pause * 2)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do the work, but no longer than until the stop."""
        working, stopped = asyncio.create_task(work), asyncio.create_task(self._parts.stop.wait())
        await asyncio.wait((working, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not working.done():
            await asyncio.wait((working,), timeout=0.2)  # where it waits for the database it has words of its own
        if working.done():
            return working.result()
        working.cancel()
        await asyncio.wait((working,), timeout=0.2)
        return None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._parts.stop.wait(), seconds)


def narrow(granted: Granted, parts: Parts) -> None:
    """Have a shard's source read its part alone."""
    if parts.shard is not None and granted.bounds is not None and isinstance(parts.source, Divisible):
        parts.source.narrow(parts.shard.number, parts.shard.of, granted.bounds)


def checkpoint(granted: Granted, source: Source) -> tuple[Key | None, list[Key]]:
    """Read where the run goes on. Raises Faults where that was noted by another key, and for a replay of what a queue has put away."""
    if granted.replay is not None and isinstance(source, Acknowledging):
        raise Faults(
            [
                "a queue's failed records are in its dead-letter queue: deliver them again, and start another run: "
                f"{source.redrive()}"
            ]
        )
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


def _at_work(held: Held) -> str:
    return f"attempt {held.attempt} of run {held.run_id} is at work"


async def _asked(what: str, answering: Awaitable[Iterable[str] | None]) -> list[str]:
    """Have the job say what is wrong; what it raises is wrong too."""
    try:
        return list(await answering or ())
    except Faults as faults:
        return list(faults.faults)
    except Exception as error:  # noqa: BLE001 - whatever it is, the job's author must hear of it before any record is touched
        return [f"{what}() of the job raised {type(error).__name__}: {error}"]
