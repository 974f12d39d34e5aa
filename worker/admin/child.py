"""One run started here: its process, its last words, and what they say of it before the run store knows."""

import asyncio
import os
import signal
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from worker.admin.asked import Asked
from worker.admin.live import Line, Live
from worker.mask import Mask
from worker.runs import PENDING, RunView
from worker.scope import secrets, shown
from worker.verdict import Verdict

_LAST_LINES = 10
_LONGEST = 1_000
_EVERY_S = 10.0
_WORDS = {verdict.word for verdict in Verdict}
_ENDS = {verdict.exit_code: verdict for verdict in (Verdict.NOT_STARTED, Verdict.LEASE_LOST, Verdict.INTERRUPTED)}


class Child:
    """A run's process from its start to its end; `ended` is set when it has been reaped."""

    def __init__(self, asked: Asked, mask: Mask) -> None:
        self.asked = asked
        self.ended = asyncio.Event()
        self.live = Live()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._masks = (mask, Mask(secrets(asked.scope)))
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._said = Line()
        self._next_s = 0.0
        self.view = RunView(
            run_id=asked.run_id,
            job=asked.job.name,
            run_key=asked.run_key,
            scope=shown(asked.scope),
            dry_run=asked.dry_run,
            status=PENDING,
            created_at=datetime.now(UTC),
        )

    def began(self, process: asyncio.subprocess.Process) -> None:
        """Note the process; where it was asked to stop before there was one, ask it now."""
        self._process = process
        if self._stopping:
            process.terminate()

    def stop(self) -> None:
        """Ask the process to stop; once, as asking twice would mean: at once."""
        if self._process and self._process.returncode is None and not self._stopping:
            self._process.terminate()
        self._stopping = True

    def kill(self) -> None:
        """End the process and all that it started."""
        if self._process and self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def passes(self, line: Line | None) -> bool:
        """Tell whether a line goes on to our own log: of its progress, which is asked for often here, one in ten seconds."""
        if line is None or not line.is_progress:
            return True
        elapsed_s = line.elapsed_s or 0.0
        due, self._next_s = elapsed_s >= self._next_s, max(self._next_s, elapsed_s // _EVERY_S * _EVERY_S + _EVERY_S)
        return due

    def hear(self, line: bytes) -> tuple[str, Line | None]:
        """Note a line of its log; give it as text, secrets masked, and what was understood of it."""
        text = line.decode(errors="replace").rstrip()[:_LONGEST]
        for mask in self._masks:
            text = mask(text)
        self._last.append(text)
        return text, self._understand(line) if line.startswith(b"{") else None

    def end(self, exit_code: int) -> None:
        """Note how the process ended: in its own words, else by its exit code."""
        verdict = _ENDS.get(exit_code, Verdict.CRASHED)
        how = f"ended by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"ended with exit code {exit_code}"
        silent = f"the process {how}; its last lines: {' / '.join(self._last) or 'none'}"
        self.view = replace(
            self.view,
            status=self._said.verdict or verdict.word,
            exit_code=exit_code,
            ended_at=datetime.now(UTC),
            detail=self._said.detail or "; ".join(self._said.faults) or silent,
            faults=tuple(self._said.faults) or ((silent,) if verdict is Verdict.NOT_STARTED else ()),
        )

    def unstartable(self, reason: str) -> None:
        """Note that there was no process at all."""
        self._said = Line(faults=[reason])
        self.end(Verdict.NOT_STARTED.exit_code)

    def _understand(self, line: bytes) -> Line | None:
        try:
            said = msgspec.json.decode(line, type=Line)
        except msgspec.DecodeError:
            return None  # a job's own line, of another shape
        self.live.hear(said)
        if said.verdict in _WORDS or (said.event == Verdict.NOT_STARTED.word and said.faults):
            self._said = said
        return said
