"""What a person sees: live progress while the attempt goes on, and the summary at its end."""

import atexit
import io
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, TextIO, cast

from worker.environment import Settings
from worker.events import ErrorGroup, Progress, Reporter, Start, Summary
from worker.mask import Mask
from worker.report import words
from worker.report.account import Account, lines
from worker.report.log_reporter import log_failure
from worker.report.slack_text import cleaned

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

log = logging.getLogger(__name__)

_LONGEST = 1_000
_SHORTEST_S = 0.125
"""Between two drawings: faster only flickers."""


def terminal_reporter(settings: Settings, mask: Mask, stream: TextIO | None = None) -> "TextReporter | None":
    """Choose by standard output: live on a terminal, plain lines where LOG_FORMAT=text, None where JSON lines go."""
    stream = stream or sys.stdout
    _never_refuse(stream)
    able = stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    if settings.log_format == "json" or not (settings.log_format or stream.isatty()):
        return None
    return TerminalReporter(stream, mask) if able else TextReporter(stream, mask)


class TextReporter(Reporter):
    """Write the summary as plain lines: for pipes, files and dumb terminals; progress is the log's."""

    def __init__(self, stream: TextIO, mask: Mask) -> None:
        self.stream = stream
        """What logging is to write to, so that its lines and the display do not mix."""
        self._mask = mask

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Write the summary."""
        self._write(summary)

    async def closed(self, summary: Summary, budget_s: float) -> None:
        """Write the summary of a run in shards."""
        await self.ended(summary, budget_s)

    def _write(self, summary: Summary) -> None:
        try:
            text = "\n".join(lines(Account(summary, self._mask), summary.verdict))
            self.stream.write(
                text.encode(self.stream.encoding or "utf-8", "replace").decode(self.stream.encoding or "utf-8")
            )
            self.stream.write("\n")
            self.stream.flush()
        except (OSError, ValueError) as error:
            log.debug("the summary could not be written to standard output: %r", error)

    def close(self) -> None:
        """Leave the terminal as it was found, whatever happened; may be called again."""


class TerminalReporter(TextReporter):
    """Draw on a terminal. Log lines written to `stream` come out above the display; so do print and warnings."""

    def __init__(self, stream: TextIO, mask: Mask) -> None:
        super().__init__(stream, mask)
        self._terminal = stream
        self._above = Above(stream)
        self.stream = cast("TextIO", self._above)
        self._live: Live | None = None
        self._start: Start | None = None
        self._drawn_at = 0.0

    def started(self, start: Start) -> None:
        """Say who runs, in lines that stay; the display appears under them with the first progress."""
        self._start = start
        try:
            for line in words.beginning(start):
                self.stream.write(f"{cleaned(line, self._mask, _LONGEST)}\n")
            self.stream.flush()
        except (OSError, ValueError) as error:
            self._gone(error)

    def progress(self, progress: Progress) -> None:
        """Draw how far it is, at most eight times a second."""
        now = time.monotonic()
        if self._start is None or (now - self._drawn_at < _SHORTEST_S and not progress.stopping):
            return
        self._drawn_at = now
        try:
            self._draw(self._start, progress)
        except (OSError, ValueError) as error:  # the terminal went away; the run goes on
            self._gone(error)

    def failed(self, group: ErrorGroup) -> None:
        """Log the stack of a bug in the job, above the display; all else about failures is in display and summary."""
        if group.stack:
            log_failure(group)

    async def ended(self, summary: Summary, budget_s: float) -> None:
        """Take the display away and draw the summary."""
        self.close()
        try:
            draw_summary(_console(self._terminal), summary, self._mask)
        except (OSError, ValueError) as error:
            self._gone(error)

    def close(self) -> None:
        """Take the display away, if it is there, and show the cursor again."""
        live, self._live, self._above.console = self._live, None, None
        if live:
            try:
                live.stop()
            except (OSError, ValueError) as error:
                self._gone(error)

    def _draw(self, start: Start, progress: Progress) -> None:
        from worker.report.frame import frame

        drawing = frame(start, progress, self._mask)
        if self._live is None:
            self._live = _live(self._terminal)
            atexit.register(self.close)  # a crash must not leave the terminal without its cursor
            self._live.start()
            self._above.console = self._live.console
        self._live.update(drawing, refresh=True)

    def _gone(self, error: Exception) -> None:
        self._start = self._live = self._above.console = None
        log.debug("the terminal takes no more output: %r", error)


class Above(io.TextIOBase):
    """A stream to the terminal that puts what is written above the display, while there is one."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self.console: Console | None = None

    def isatty(self) -> bool:
        """Say yes: there is a terminal behind it."""
        return True

    def write(self, text: str) -> int:
        """Write whole lines."""
        if self.console is None:
            return self._terminal.write(text)
        if text:
            self.console.out(text.removesuffix("\n"), highlight=False)
        return len(text)

    def flush(self) -> None:
        """Pass on what the terminal's own stream holds back."""
        self._terminal.flush()


def draw_summary(console: "Console", summary: Summary, mask: Mask) -> None:
    """Draw the summary card; under it, unbroken by any wrapping, what is to be copied, and the exit code in words."""
    from rich.text import Text

    from worker.report.card import card, colour

    account = Account(summary, mask)
    console.print(card(account, summary.verdict))
    for label, value in account.afterwards():
        console.print(Text.assemble((f"{label}: ", "dim"), value), soft_wrap=True)
    console.print(Text(account.exit(), style=f"bold {colour(summary.verdict)}"), soft_wrap=True)


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)


def _live(stream: TextIO) -> "Live":
    from rich.live import Live

    return Live(
        console=_console(stream),
        auto_refresh=False,  # progress comes twice a second: no thread, no drawing of what did not change
        transient=True,
        redirect_stderr=sys.stderr.isatty(),
    )


def _never_refuse(stream: TextIO) -> None:
    """Let a stream that is not UTF-8 write `?` for what it cannot, instead of raising."""
    if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors="replace")
