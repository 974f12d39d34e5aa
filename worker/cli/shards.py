"""`--shards N`: a run in N processes of this task, each a shard like one that is started by hand, shown and ended as one."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, TextIO

from worker.cli.faults import tell
from worker.cli.reports import overseer
from worker.cli.started import Started, limits_of, started
from worker.errors import Faults, Transient
from worker.events import Progress, Reporter, Start, Summary
from worker.job import Job
from worker.report import logs
from worker.report.shard_reporter import received
from worker.scope import variables
from worker.shard_reports import bury
from worker.shards import Shard, progress_of, start_of, worst
from worker.signals import Signals
from worker.stop import Stop
from worker.verdict import Verdict

_log = logging.getLogger("worker")

_PROGRESS_EVERY_S = 0.5
_REPORT_S = 10.0
_ENDS = {verdict.exit_code: verdict for verdict in (Verdict.NOT_STARTED, Verdict.LEASE_LOST, Verdict.INTERRUPTED)}


def make_in_shards(job: type[Job[Any]], options: argparse.Namespace, signals: Signals) -> int:
    """Make an attempt at every shard of a run, at the same time; give the exit code of the worst."""
    start = started(job, options)
    if isinstance(start, int):
        return start
    try:
        limits = limits_of(job, start.found)
        for number in (1, options.shards):  # what cannot be divided is said once
            Shard.parse(f"{number}/{options.shards}").limits(limits)
    except Faults as faults:
        return tell(faults, start.mask)
    shown, posted, stream = overseer(start.found, start.mask)
    logs.context(**start.named)
    logs.catch_the_uncaught()
    return asyncio.run(_Processes(start, options, shown, posted, stream).work(signals))


@dataclass
class _Process:
    """One shard's process, and what it has told so far."""

    number: int
    process: asyncio.subprocess.Process
    pipe: Connection
    start: Start | None = None
    progress: Progress | None = None
    summary: Summary | None = None
    began: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it has told that it begins, or has ended."""

    @property
    def verdict(self) -> Verdict:
        """Give how it ended: in its own words, else by its exit code."""
        if self.summary is not None and (self.process.returncode or 0) >= 0:
            return self.summary.followed or self.summary.verdict
        code = self.process.returncode or 0
        return Verdict.INTERRUPTED if code < 0 else _ENDS.get(code, Verdict.CRASHED)


class _Processes:
    """Start them, pass signals on, show how all go, and bury those that die."""

    def __init__(
        self, start: Started, options: argparse.Namespace, shown: Reporter, posted: Reporter, stream: TextIO
    ) -> None:
        self._start, self._options, self._stream = start, options, stream
        self._shown, self._posted = shown, posted
        self._all: list[_Process] = []
        self._whole: Summary | None = None
        self._stop = Stop()
        self._introduced = False

    async def work(self, signals: Signals) -> int:
        asyncio.get_running_loop().set_exception_handler(logs.log_uncaught_in_loop)
        signals.hand_to(self._stop)
        beside = [asyncio.create_task(task) for task in (self._pass_on(), self._show())]
        try:
            first = await self._begin(1)
            ends = [asyncio.create_task(self._follow(first))]
            await first.began.wait()  # the first one divides the run, the others read how
            if first.process.returncode != Verdict.NOT_STARTED.exit_code:  # they would say the same
                ends += [asyncio.create_task(self._follow(each)) for each in await self._begin_others()]
            await asyncio.gather(*ends)
        finally:
            signals.ignore()
            for task in beside:
                task.cancel()
        return await self._end()

    async def _begin_others(self) -> list[_Process]:
        """Start all but the first, until we are asked to stop; those that are left then have ended before they began."""
        begun = []
        for number in range(2, self._options.shards + 1):
            if self._stop:
                await self._bury(number)
            else:
                begun.append(await self._begin(number))
        return begun

    async def _begin(self, number: int) -> _Process:
        reading, writing = os.pipe()
        environ = {name: value for name, value in os.environ.items() if name != "SHARD"}
        if self._stream is not sys.stdout or self._start.found.log_format == "text":
            environ["LOG_FORMAT"] = "text"
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "worker", self._start.run.job, *self._arguments(number, writing)),
                env=environ | variables(self._start.run.scope),
                stdin=asyncio.subprocess.PIPE,  # which ends with us: they stop then
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(writing,),
                start_new_session=True,  # a Ctrl-C is for us alone: twice would mean at once
                limit=2**20,
            )
        finally:
            os.close(writing)
        begun = _Process(number, process, Connection(reading, writable=False))
        self._all.append(begun)
        return begun

    def _arguments(self, number: int, tell_to: int) -> list[str]:
        options = self._options
        flags = [f"--shard={number}/{options.shards}", f"--run-key={self._start.run.run_key}", f"--tell={tell_to}"]
        flags += [f"--{name}" for name in ("dry-run", "wait", "restart") if getattr(options, name.replace("-", "_"))]
        return flags + ([f"--max-affected={options.max_affected}"] if options.max_affected else [])

    async def _follow(self, shard: _Process) -> None:
        """Hear a process to its end, and write its lines with ours."""
        loop, silent = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(shard.pipe.fileno(), self._hear, shard, silent)
        assert shard.process.stdout is not None, "it is piped"
        async for line in shard.process.stdout:
            self._stream.write(line.decode(errors="replace"))
            self._stream.flush()
        await shard.process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(silent.wait(), 1.0)
        loop.remove_reader(shard.pipe.fileno())
        shard.pipe.close()
        shard.began.set()
        if (code := shard.process.returncode or 0) < 0:
            _log.error("shard %d was killed by %s", shard.number, signal.Signals(-code).name)
            await self._bury(shard.number)

    def _hear(self, shard: _Process, silent: asyncio.Event) -> None:
        try:
            for told in received(shard.pipe):
                if isinstance(told, Start):
                    shard.start = told
                    shard.began.set()
                elif isinstance(told, Progress):
                    shard.progress = told
                elif told.start.shard is None:
                    self._whole = told
                else:
                    shard.summary = told
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(shard.pipe.fileno())
            silent.set()

    async def _bury(self, number: int) -> None:
        """Note that a shard has no process any more; where it was the last, it is for us to say how the run ended."""
        run = self._start.run
        try:
            async with self._start.room.opened(self._start.found, run.job) as store:
                whole = await bury(store, run.run_id, number, self._posted, _REPORT_S)
                self._whole = whole or self._whole
        except Transient as error:
            _log.error("that it is over is not in the run store: %s", error)

    async def _pass_on(self) -> None:
        """Ask all processes to stop when we are asked, and again when we are asked again."""
        await self._stop.wait()
        self._terminate()
        await self._stop.wait_hurried()
        self._terminate()

    def _terminate(self) -> None:
        for shard in self._all:
            if shard.process.returncode is None:
                shard.process.terminate()

    async def _show(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY_S)
            starts = [shard.start for shard in self._all if shard.start]
            if starts and self._all_begun and not self._introduced:
                self._introduced = True
                self._shown.started(start_of(starts, self._options.shards))
            if self._introduced and (told := [shard.progress for shard in self._all if shard.progress]):
                self._shown.progress(progress_of(told, self._stop.reason))

    @property
    def _all_begun(self) -> bool:
        """Tell whether nothing is missing that is to be shown as one: the limits of all, added up."""
        return bool(self._stop) or (
            len(self._all) == self._options.shards and all(shard.began.is_set() for shard in self._all)
        )

    async def _end(self) -> int:
        """Show how the run ended; where nobody could close it, how the worst of its shards did."""
        verdict = worst(shard.verdict for shard in self._all)
        if self._whole is not None:
            await self._shown.ended(self._whole, _REPORT_S)
            return self._whole.exit_code
        for summary in [shard.summary for shard in self._all if shard.summary and shard.verdict is verdict][:1]:
            await self._shown.ended(replace(summary, start=replace(summary.start, shard=None)), _REPORT_S)
        return verdict.exit_code
