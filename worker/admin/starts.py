"""Start a run once: the same run again is answered with what it came to, another run of the job stands in the way."""

import asyncio
import contextlib
import hashlib
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from http import HTTPStatus

from aiolimiter import AsyncLimiter

from worker.admin.asked import Asked
from worker.admin.documents import listed
from worker.admin.ports import Carrier, Full, Runs, Started, Unfit
from worker.admin.problems import Problem
from worker.errors import DatabaseAway, Transient
from worker.runs import PENDING, RunView
from worker.scope import whole
from worker.verdict import Verdict

_POLL_S = 1.0
"""Between two looks at a run whose process is not ours."""

_OVER = {verdict.word for verdict in Verdict if verdict.finished or verdict is Verdict.ALREADY_DONE}
_NOTHING = {Verdict.NOT_STARTED.word, Verdict.OVERLAPPED.word}
"""Ends of an attempt that did nothing: the run store may know no more of it."""


class Starts:
    """Decide about starts, one after the other for each job, and watch what was started."""

    def __init__(self, runs: Runs, children: Carrier, starts_a_minute: int) -> None:
        self._runs = runs
        self._children = children
        # A leaky bucket: so many at once, then one each minute's share. It guards the server, no promise hangs on it.
        self._permits = AsyncLimiter(starts_a_minute, 60)
        self._pause_s = math.ceil(60 / starts_a_minute)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def start(self, asked: Asked) -> RunView | None:
        """Start the run and give None; or give the same run, going on or finished. Raises Problem where neither may be."""
        async with self._turns[asked.job.name]:
            known = await self.look(asked.run_id)
            if known is not None and await self._answers(known, asked):
                return known
            await self._begin(asked)
            return None

    async def again(self, job: str, run_id: str, ask: Callable[[RunView, str | None], Asked]) -> Asked:
        """Take up a run that is known: `ask` gets it with the hash of its scope. Raises Problem where there is none, or it may not be."""
        async with self._turns[job]:
            known = await self.look(run_id)
            if known is None:
                raise no_run(run_id)
            asked = ask(known, await self._runs.scope_hash(run_id))
            await self._begin(asked)
            return asked

    async def _begin(self, asked: Asked) -> None:
        await self._refuse_second(asked)
        await self._permit()
        try:
            self._children.start(asked)
        except Full as error:
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": "10"}) from error
        except Unfit as error:
            raise Problem(HTTPStatus.CONFLICT, str(error)) from error

    async def look(self, run_id: str) -> RunView | None:
        """Give the run as the store and its process here tell of it together."""
        child = self._children.find(run_id)
        try:
            found = await self._runs.find(run_id)
        except (Transient, DatabaseAway):
            if child is None:
                raise
            found = None  # what its process says is better than nothing
        return _latest(found, child)

    async def wait(self, run_id: str, seconds: float) -> RunView | None:
        """Give the run once it has ended, or as it is after that time or when the server stops."""
        clock = asyncio.get_running_loop().time
        until = clock() + seconds
        while True:
            view = await self.look(run_id)
            left = until - clock()
            if view is None or not view.live or left <= 0:
                return view
            child = self._children.find(run_id)
            if child and not child.ended.is_set():
                event, pause = child.ended, left
            elif self._children.closing.is_set():
                return view
            else:
                event, pause = self._children.closing, min(_POLL_S, left)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), pause)

    async def _refuse_second(self, asked: Asked) -> None:
        """Refuse a second run beside the one that has the lease, here or elsewhere."""
        ours = [child.view for child in self._children.live if child.asked.lease == asked.lease]
        holder = ours[0] if ours else await self._runs.holder(asked.lease)
        if holder is not None and holder.run_id != asked.run_id:
            once = "once at a time for each scope" if asked.job.one_per_scope else "once at a time"
            raise _conflict(holder, f"is going on, and {asked.job.name} runs {once}")

    async def _answers(self, known: RunView, asked: Asked) -> bool:
        """Tell whether the known run is the answer; one that came to nothing, or not to its end, may be started again."""
        if known.status in _NOTHING:
            return False
        if not await self._is_scope_of(known, asked):
            raise _conflict(known, "has another scope, and a run key names one scope: take another key")
        if known.dry_run != asked.dry_run:
            raise _conflict(known, f"is a {'dry' if known.dry_run else 'real'} run: take another key")
        return known.live or known.status in _OVER

    async def _is_scope_of(self, known: RunView, asked: Asked) -> bool:
        """Compare whole scopes: two that differ in a secret field look the same."""
        child = self._children.find(known.run_id)
        if child is not None:
            return whole(child.asked.scope) == whole(asked.scope)
        return await self._runs.scope_hash(known.run_id) in (None, hashlib.sha256(whole(asked.scope)).hexdigest())

    async def _permit(self) -> None:
        if not self._permits.has_capacity():
            detail = f"{self._permits.max_rate:g} starts a minute are allowed here"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(self._pause_s)})
        await self._permits.acquire()


def no_run(run_id: str) -> Problem:
    """Say that there is no such run."""
    return Problem(HTTPStatus.NOT_FOUND, f"no run {run_id[:200]!r}; a run's id is <job>:<run key>")


def _conflict(known: RunView, why: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, f"{known.run_id} {why}", run=listed(known))


def _latest(found: RunView | None, child: Started | None) -> RunView | None:
    """Prefer what the store knows, but where its knowledge is older than our process."""
    if child is None or (found is not None and found.live):
        return found
    if found is None:
        return child.view
    if not child.ended.is_set():
        return replace(found, status=PENDING, ended_at=None, exit_code=None, detail="", summary=None)
    told = child.view
    if child.asked.replay is not None and told.status in _NOTHING:
        return replace(found, faults=told.faults or (told.detail,))  # the run is what it was
    if told.status not in _NOTHING or _ended(found) > _ended(told):
        return found
    return replace(
        found,
        status=told.status,
        ended_at=told.ended_at,
        exit_code=told.exit_code,
        detail=told.detail,
        summary=None,
        faults=told.faults,
    )


def _ended(view: RunView) -> datetime:
    return view.ended_at or view.created_at
