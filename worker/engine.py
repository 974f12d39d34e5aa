"""The core loop: records in, bounded slots, outcomes, page commits out. Nothing else.

A slot is a coroutine that lives as long as the attempt and works on one record at a time; there are `concurrency` of them.
They are the bounded semaphore of the usual worker, without its task and its queue hop a record (docs/adr/0004).
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from math import inf
from typing import Any

from worker.committer import Committer
from worker.errors import DatabaseAway, LeaseLost, Permanent, Postponed, Throttled, told, words
from worker.events import Progress, Reporter, Spent
from worker.job import Job, Run
from worker.ledger import Ledger, Sink
from worker.limits import Limits
from worker.origin import is_bug
from worker.outcome import DONE, Done
from worker.patience import Patience
from worker.rate import RateLimit
from worker.retry import Retry
from worker.source import Key, Promise, Record, Source
from worker.stop import Stop, StopPlan
from worker.supply import Parked, Supply

_PROGRESS_EVERY_S = 0.5
_TICK_S = 0.1
_BREATH_S = 0.02
"""So long may records be worked on, by all slots together, without letting anything else run; then for a grace only."""
_GRACE_S = 0.001
_LET_GO_S = 1.0
"""So long may a `process` that was cancelled take to notice, before the attempt ends without it."""
_MANY = 256
"""So many rows are laid out at most, to be taken without a look at anything but the clock."""
_WINDOW = 4
"""Open keys that may pile up, for each slot, before no further record is begun."""
_PAUSE_S = (1.0, 30.0)
"""First and longest pause, in seconds, when the other side asks for one and does not say how long."""


class Slot:
    """One unit of concurrency, and the record in it."""

    __slots__ = ("expired", "started", "taken", "task")

    def __init__(self) -> None:
        self.taken: Record | Parked | None = None
        self.started: float | None = None  # or a little later: when the try was first seen
        self.expired = False
        self.task: asyncio.Task[None]


class Engine:
    """Work on all records of a source; read its public fields at any time."""

    def __init__(
        self,
        job: Job[Any],
        run: Run[Any],
        source: Source,
        sink: Sink,
        *,
        ledger: Ledger,
        after: Key | None = None,
        open_keys: Sequence[Key] = (),
        max_records: int | None = None,
        limits: Limits,
        rates: Mapping[str, RateLimit],
        stop: Stop,
        plan: StopPlan,
        reporter: Reporter,
        patience_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job, self._run, self.source = job, run, source
        self._limits, self._rates, self._stop, self._plan = limits, rates, stop, plan
        self._retry: Retry = job.retry
        self._reporter = reporter
        self._clock = clock
        self._patiently = Patience(patience_s, throttled=self._pause, reporter=reporter, clock=clock)
        self._main_rate = limits.rate.name if limits.rate else "rate"
        self._gate = rates[self._main_rate]
        self._slots = [Slot() for _ in range(limits.concurrency)]
        self._idle: deque[asyncio.Future[None]] = deque()
        self._gate.take_back = self._take_back
        stop.listener = self._look_up
        self._claims = 0  # slots that wait for a permit, each for a record of the stock
        self._throttles = self._at_throttle = 0
        self._settled = asyncio.Event()
        self._ending = False  # no slot takes another record
        self._breathe_at, self._breathing = clock() + _BREATH_S, False
        self._straight_until = -inf  # nothing comes before the next rows till then
        self._batch_size = self._enough = limits.page_size  # for a commit; for the next look at what waits for it
        self._held_up: Counter[str] = Counter()
        self._seen: deque[tuple[float, int]] = deque(maxlen=20)
        self.ledger = ledger
        self.supply = Supply(
            source,
            page_size=limits.page,
            window=max(limits.page, _WINDOW * limits.concurrency),
            max_age=limits.max_age
            if source.promise is not Promise.QUEUE
            else None,  # a message is not read again, but held
            after=after,
            open_keys=open_keys,
            at_most=max_records,
            wake=self._wake,
            turned=self._page_turned,
            gone=ledger.gone,
            clock=clock,
        )
        self.committer = Committer(
            source,
            self.supply,
            ledger,
            sink,
            page_size=limits.page_size,
            in_hand=lambda: [slot.taken for slot in self._slots if slot.taken is not None],
            complete=lambda: self.complete,
            finishes=job.finish is not None,
            writing=self._commit_writes,
            ended=self._check_budget,  # what `write` refused has failed after all
            patiently=self._patiently,
            reporter=reporter,
            clock=clock,
        )
        self._in_flight_s = 0.0
        self.total: int | None = None
        self.crash: BaseException | None = None
        self._began = clock()

    @property
    def complete(self) -> bool:
        """Tell whether every record of the source has its outcome."""
        return self.supply.exhausted and not self.in_flight

    @property
    def in_flight(self) -> int:
        """Count the records that are being worked on."""
        return sum(slot.taken is not None for slot in self._slots)

    @property
    def oldest_age_s(self) -> float:
        """Give the greatest age, in seconds, at which a record was handed to `process`."""
        return self.supply.oldest_age_s

    @property
    def throttled_s(self) -> float:
        """Give the seconds for which the other side asked everybody to pause."""
        return self._gate.throttled_s

    @property
    def spent(self) -> Spent:
        """Give what the records took so far."""
        return Spent(
            in_flight_s=self._in_flight_s,
            reading_s=self.supply.reading_s,
            committing_s=self.committer.committing_s,
            calls={limit.name: self._rates[limit.name].taken for limit in self._limits.named},
        )

    @property
    def limited_by(self) -> str:
        """Name what held the attempt back most of the time."""
        return self._held_up.most_common(1)[0][0] if self._held_up else ""

    async def work(self) -> None:
        """Work until nothing is left, the stop is asked for, the error budget is spent or something breaks.

        Raises what broke (`LeaseLost`, `DatabaseAway`, a fault of the source), after what is finished was committed if that
        was possible.
        """
        pump = asyncio.create_task(self.supply.pump(self._patiently), name="pump")
        committer = asyncio.create_task(self.committer.work(), name="committer")
        ticker = asyncio.create_task(self._tick(), name="ticker")
        for slot in self._slots:
            slot.task = asyncio.create_task(self._serve(slot), name="slot")
        for task in (pump, committer, ticker, *(slot.task for slot in self._slots)):
            task.add_done_callback(self._watch)
        try:
            await self._until_settled()
            pump.cancel()
            await self._drain()
            await self._close(committer)
        finally:
            tasks = [pump, committer, ticker, *(slot.task for slot in self._slots)]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_LET_GO_S)
        if self.crash is not None:
            raise self.crash

    def fail(self, error: BaseException) -> None:
        """End the work because something beside it broke."""
        self.crash = self.crash or error
        self._end()

    # --- one slot -------------------------------------------------------------------------------------------------------

    async def _serve(self, slot: Slot) -> None:
        """Take records one after the other, each with a permit, and book what becomes of them.

        Whatever has to be looked at before a record is looked at in `_next`, for this one and for those that it lays out: all
        slots go along these together, with one look at the clock for each. With all looks for each the engine took an eighth more time.
        """
        supply, stop, ledger, clock = self.supply, self._stop, self.ledger, self._clock
        process, run = self._job.process, self._run
        counted = DONE if ledger.plain else object()  # what `_finish` would only count; without the call, twice as fast
        while not self._ending and stop.reason is None:
            if clock() > self._straight_until:
                self._look_up()
            if (taken := next(supply.straight, None)) is None and (taken := await self._next(slot)) is None:
                continue
            again = taken if type(taken) is Parked else None
            first, read_at = (taken, supply.read_at) if again is None else (again.record, again.read_at)
            for record in chain((first,), supply.straight if again is None else ()):
                slot.taken, slot.started = again or record, None
                try:
                    outcome = await process(record, run)
                except asyncio.CancelledError as error:
                    if slot.task.cancelling() and not slot.expired:
                        raise  # it is left in its slot: in flight for good, and an open key
                    self._unlucky(
                        slot, again or record, read_at, error
                    )  # it expired, or what it waits for was cancelled
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a record that breaks process is a failed record, not a failed run
                    self._unlucky(slot, again or record, read_at, error)
                else:
                    if outcome is counted:
                        ledger.tally.done += 1
                    else:
                        self._finish(again or record, record, read_at, outcome)
                if slot.expired:  # whatever `process` made of its cancellation, the next record starts afresh
                    slot.expired = False
                    slot.task.uncancel()
                if clock() > self._straight_until:  # no later row is too old or keeps the loop, however dear this was
                    self._look_up()
            slot.taken = None

    async def _next(self, slot: Slot) -> Record | Parked | None:
        """Look at everything that comes before the next row, and take what is to be taken; None to look again."""
        supply, gate, now = self.supply, self._gate, self._clock()
        if now < self._straight_until and self._lay_out(now):
            return next(supply.straight)
        if now > self._breathe_at:
            await self._breathe()
            return None
        if self._within_reach <= 0:
            await self._rest()
            return None
        if not gate.try_acquire():
            await self._permit(gate)
            self._look_up()
            if self._ending or self._stop or self._behind:
                return None
        slot.taken = taken = supply.take(self._clock())
        if type(taken) is Parked:
            self._wake()  # the window of open keys may have room again
        if taken is not None:
            self._straight_until = min(self._breathe_at, supply.straight_until, gate.until)
        return taken

    def _lay_out(self, now: float) -> int:
        """Let rows be taken without a look at anything but the clock; give how many they are.

        They are taken back at every tick, and when something comes before them after all.
        """
        many = self._gate.lend(min(_MANY, self.supply.look(now)))
        self.supply.lay_out(many)
        return many

    async def _breathe(self) -> None:
        """Let everything else run: by itself, where the slots wait for something; else, a moment later, by waiting for it."""
        if self._breathing:
            await self._rest()
        else:
            self._ask_for_breath()
            self._breathe_at = self._clock() + _GRACE_S

    def _ask_for_breath(self) -> None:
        """Note when the loop has gone round twice: what was written in the first round is sent then."""
        if not self._breathing:
            self._breathing = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._breathe_out)

    def _breathe_out(self) -> None:
        self._breathe_at, self._breathing = self._clock() + _BREATH_S, False
        self._rouse(1)

    def _page_turned(self) -> None:
        """Let the query for the next page go out before the first record of this one, unless the slots wait for something anyway."""
        if all(slot.taken is None for slot in self._slots):
            self._ask_for_breath()
            self._breathe_at = -inf

    def _look_up(self) -> None:
        """Leave the straight way: something may come before the next row."""
        self._straight_until = -inf
        self._gate.give_back(self._take_back())

    def _take_back(self) -> int:
        return self.supply.take_back(self._clock())

    async def _permit(self, gate: RateLimit) -> None:
        self._claims += 1
        try:
            await gate.acquire()
        finally:
            self._claims -= 1

    def _finish(self, taken: Record | Parked, record: Record, read_at: float, outcome: object) -> None:
        """Book what `process` returned."""
        if type(outcome) is Done and self.ledger.simple:
            self.ledger.done(record, outcome.value)
            if self.ledger.uncommitted >= self._enough:
                self._page_full()
            return
        tries, first_at = (taken.tries, taken.first_error_at) if type(taken) is Parked else (0, None)
        if self.ledger.exceeds(outcome):
            self.supply.requeue(self._parked(taken, read_at))  # unfinished, and an open key
        else:
            self.ledger.finish(record, lambda: self.supply.key_of(taken), outcome, tries + 1, first_at)
        self._booked()

    def _unlucky(self, slot: Slot, taken: Record | Parked, read_at: float, error: BaseException) -> None:
        """Decide about a try that raised: again later, or failed."""
        self._look_up()
        if slot.expired:
            error = TimeoutError(f"no outcome within the record timeout of {self._limits.record_timeout:g} s")
        parked = self._parked(taken, read_at)
        if isinstance(error, Postponed):
            self.supply.park(parked, self._clock() + error.for_s)
            return
        parked.first_error_at = parked.first_error_at or datetime.now(UTC)
        if isinstance(error, Throttled):
            self._pause(error)
            self.supply.requeue(parked)
            return
        parked.tries += 1
        if self._retry.worth_it(error) and parked.tries < self._retry.attempts:
            self.ledger.tally.retries += 1
            self._reporter.retried(told(error))
            self.supply.park(parked, self._clock() + self._retry.delay(parked.tries))
            return
        type_name = error.type if isinstance(error, Permanent) else type(error).__name__
        said, bug = words(error) or type_name, error if is_bug(error) else None
        self.ledger.fail(parked.record, parked.key, type_name, said, parked.tries, parked.first_error_at, bug)
        self._booked()

    def _parked(self, taken: Record | Parked, read_at: float) -> Parked:
        """Give what is in a slot the form in which it leaves it unfinished."""
        return taken if isinstance(taken, Parked) else Parked(self.supply.key_of(taken), taken, read_at)

    def _pause(self, error: Throttled) -> None:
        """Hold every slot for as long as the other side said; whoever asks it through a limit of its own, too."""
        self.ledger.tally.throttled += 1
        named = self._rates.get(error.limit or self._main_rate, self._gate)
        seconds = error.retry_after_s  # "after 0 seconds" says no more than nothing does: it would go on for ever
        if not seconds:
            if named.paused:
                return
            tally = self.ledger.tally
            went_well = tally.finished - tally.failed - tally.skipped.get("gone", 0)
            if went_well > self._at_throttle:  # less, where a commit refused results
                self._throttles = 0
            self._at_throttle = went_well
            first, longest = _PAUSE_S
            seconds = min(longest, first * 2.0 ** min(self._throttles, 10))
            self._throttles += 1
        for rate in {named, self._gate}:
            rate.pause(seconds)

    def _booked(self) -> None:
        """See what an outcome leads to: the end, or a page commit."""
        self._check_budget()
        if self.ledger.uncommitted >= self._enough:
            self._page_full()

    def _check_budget(self) -> None:
        if self.ledger.overdrawn:
            self._end()

    def _end(self) -> None:
        """Begin no further record, and go on to the end."""
        self._ending = True
        self._look_up()
        self._settled.set()

    @property
    def _behind(self) -> bool:
        """Tell whether two pages wait for the page commit before them: nothing more is taken then."""
        return self.ledger.uncommitted >= 2 * self._batch_size

    @property
    def _within_reach(self) -> int:
        """Count what may be taken now, beside what waits for a permit."""
        return 0 if self._behind else self.supply.stock - self._claims

    async def _rest(self) -> None:
        """Wait until there is something to take; the last one to rest finds that all is done."""
        if self.complete:
            self._settled.set()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        await future

    def _wake(self) -> None:
        """Notice that there may be something to take again."""
        self._look_up()
        if self.complete:
            self._settled.set()
        self._rouse(1)

    def _rouse(self, many: int) -> None:
        """Wake so many resting slots if there is work for them; and, should they come to wait for something, twice as many.

        To wake more of them for each page of a job that never waits, and is done with it before they are awake, took a
        seventh of its time.
        """
        many = min(many, len(self._idle), self._within_reach)
        if many <= 0 or self._breathing:
            return
        for _ in range(many):
            future = self._idle.popleft()
            if not future.done():
                future.set_result(None)
        asyncio.get_running_loop().call_soon(self._rouse, 2 * many)  # the loop comes to it after them

    # --- page commits ---------------------------------------------------------------------------------------------------

    def _page_full(self) -> None:
        """Ask for a commit; from the second page that waits for it on, take nothing more until it writes."""
        self.committer.ask()
        self._enough = 2 * self._batch_size
        if self._behind:
            self._look_up()

    def _commit_writes(self) -> None:
        """Go on: what was finished is with the sink, and the database is busy with it.

        To go on before that, while the commit begins, took an eighth of the time of a job that is bound by its commits: its
        rows went to the database that much later.
        """
        self._enough = self._batch_size
        self._wake()

    # --- the end --------------------------------------------------------------------------------------------------------

    async def _until_settled(self) -> None:
        """Wait for the end of the work, a stop or a crash, whichever comes first."""
        stopped = asyncio.create_task(self._stop.wait())
        settled = asyncio.create_task(self._settled.wait())
        try:
            await asyncio.wait((stopped, settled), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            settled.cancel()

    async def _drain(self) -> None:
        """Give what is in flight its time; nobody takes another record."""
        self._ending = True
        busy = [slot.task for slot in self._slots if slot.taken is not None]
        for slot in self._slots:
            if slot.taken is None:
                slot.task.cancel()
        if not busy or isinstance(self.crash, (LeaseLost, DatabaseAway)):
            return
        hurried = asyncio.create_task(self._stop.wait_hurried())
        drained = asyncio.create_task(asyncio.wait(busy))
        await asyncio.wait((hurried, drained), timeout=self._plan.drain, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        drained.cancel()

    async def _close(self, committer: "asyncio.Task[None]") -> None:
        """Commit what is finished: with all patience, but from a stop on within the stop plan's time."""
        self.committer.close()
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait((committer, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await asyncio.wait((committer,), timeout=self._plan.commit)
        if not committer.done():
            self.crash = self.crash or DatabaseAway("the last page commit did not get through before the stop")

    def _watch(self, task: "asyncio.Task[None]") -> None:
        """Notice a part of the engine that broke."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    # --- watching -------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        """Every so often: expire records, ripen retries, look at what holds the attempt back, tell the progress."""
        tick = min(_TICK_S, self._limits.record_timeout / 10)
        told = looked = self._clock()
        while True:
            await asyncio.sleep(tick)
            now = self._clock()
            self._in_flight_s += self.in_flight * (now - looked)
            looked = now
            self._look_up()
            self.supply.ripen(now)
            self._expire(now)
            self._held_up[self._hold_up()] += 1
            if now - told >= _PROGRESS_EVERY_S:
                told = now
                self._reporter.progress(self.progress(now))

    def _expire(self, now: float) -> None:
        """Cancel the tries that took longer than the record timeout: one sweep for all slots instead of a timer each.

        A try's time begins at the sweep that first sees it, a tick after its start at most: no record pays for a look at the clock.
        """
        overdue = now - self._limits.record_timeout
        for slot in self._slots:
            if slot.taken is None or slot.task.cancelling():
                continue
            if slot.started is None:
                slot.started = now
            elif slot.started < overdue:
                slot.expired = True
                slot.task.cancel()

    def _hold_up(self) -> str:
        away = self._patiently.tried
        if any(not isinstance(error, Throttled) for error in away):
            return "database"
        if away or any(rate.paused for rate in self._rates.values()):
            return "throttled"
        if self._behind:
            return "sink"
        if self._claims:
            return "rate"
        if self.in_flight == len(self._slots):
            return "concurrency"
        if self.supply.blocked:
            return "open keys"
        return "retries" if self.supply.retrying else "source"

    def progress(self, now: float) -> Progress:
        """Say how far the attempt is."""
        finished = self.ledger.tally.finished
        self._seen.append((now, finished))
        then, before = self._seen[0]
        rate = (finished - before) / (now - then) if now > then else 0.0
        remaining = None if self.total is None else max(0, self.total - finished)
        self.ledger.tally.read = self.supply.read
        return Progress(
            elapsed_s=now - self._began,
            tally=self.ledger.tally.copy(),
            total=self.total,
            rate=rate,
            eta_s=remaining / rate if remaining is not None and rate > 0 else None,
            in_flight=self.in_flight,
            limited_by=self._hold_up(),
            last_error=next(map(told, self._patiently.tried), self.ledger.last_error),
            oldest_age_s=self.oldest_age_s,
            throttled_s=self.throttled_s,
            stopping=self._stop.reason,
        )
