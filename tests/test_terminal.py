"""worker/report/terminal.py: what a person sees, on real terminals and in pipes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from examples import an_error
from logged import Terminal as Screenful
from logged import logging_to
from screen import Terminal

from worker.mask import Mask
from worker.report.terminal import TerminalReporter

TESTS = Path(__file__).parent
SCRIPT = TESTS / "terminal_script.py"
HELD_STEPS = 5


def shown(width: int = 80, **environ: str) -> Terminal:
    """Run the script to its end on a terminal."""
    with Terminal(SCRIPT, width, **environ) as terminal:
        for _ in range(HELD_STEPS + 1):
            terminal.step()
        assert terminal.exit_code() == 0
    return terminal


def display(lines: list[str]) -> list[str]:
    """Give the display alone, without what stands above it."""
    title = next(number for number, line in enumerate(lines) if line.startswith("poll-payments · "))
    return lines[title:]


@pytest.fixture(scope="module")
def whole() -> Terminal:
    """Give what an ordinary terminal of 80 columns has seen of a whole attempt."""
    return shown()


def piped(code: str, **environ: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    done = subprocess.run(
        [sys.executable, "-c", f"from examples import *\n{code}"],
        check=True,
        capture_output=True,
        cwd=TESTS.parent,
        env={**kept, "PYTHONPATH": f".{os.pathsep}tests", "LC_ALL": "C.UTF-8", **environ},
    )
    return done.stdout.decode()


PIPED_RUN = """
import asyncio, sys
from worker.environment import settings
from worker.mask import Mask
from worker.report.terminal import terminal_reporter
seen = terminal_reporter(settings(), Mask())
if seen:
    seen.started(a_start())
    seen.progress(a_progress())
    asyncio.run(seen.ended(a_summary(), 5.0))
assert "rich" not in sys.modules
"""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_terminal_progress_fits_its_width(width: int) -> None:
    """Every line of the display is one row of the terminal, at any width: what is too long is cut, and says so."""
    with Terminal(SCRIPT, width) as terminal:
        first = display(terminal.step())
        assert [line.split(" ")[0][:9] for line in first] == ["poll-paym", "━━━━━━━━━", "900", "880", "limited"]
        assert first[2] == "900 of 5,000 records (18 %), 90/s, 46 s to go"
        assert first[3].startswith("880 done · 2 failed · 18 skipped · 64 in flight")
        assert len(first[1]) == width
        second = display(terminal.step())
        assert len(second) == 6
        assert second[5].startswith("last error: Permanent: No such payment_intent: ")
        assert second[5].endswith("…")
        assert len(second[5]) == width


@pytest.mark.parametrize("width", [60, 120])
def test_terminal_log_lines_come_above_the_display(width: int) -> None:
    """A log line, a print and a warning are whole, in order, and the display stays whole beneath them."""
    with Terminal(SCRIPT, width) as terminal:
        terminal.step()
        drawn = display(terminal.step())
        logged = terminal.step()
        said = "".join(logged[: -len(drawn)])
        assert ("a log line of " + "many words " * 20).replace(" ", "") in said.replace(" ", "")
        assert display(logged) == drawn
        assert terminal.step() == [
            *logged[: -len(drawn)],
            "printed by a job",
            "warned by a library",
            *drawn,
        ]


def test_terminal_begins_with_who_and_how() -> None:
    """Above the display, and still there at the end: the run, the attempt, the limits, the plan for a stop."""
    with Terminal(SCRIPT, 120) as terminal:
        first = terminal.step()
        assert first[0].startswith("poll-payments started · run poll-payments:2026-11-22T06:30:00Z · attempt 1")
        assert first[1].startswith("at most 90/s, 64 at once, 30 s old · stop within 30 s: drain 13.5 s")
        assert display(first) == first[2:]


def test_terminal_is_not_torn_by_a_ctrl_c() -> None:
    """The terminal's own echo of the key leaves nothing of the display behind, however long its last line is."""
    with Terminal(SCRIPT) as terminal:
        terminal.step()
        drawn = display(terminal.step())
        terminal.press_ctrl_c()
        assert display(terminal.step()) == drawn
        assert sum(line.startswith("poll-payments · ") for line in terminal.screen.lines()) == 1


def test_terminal_shows_the_stack_of_a_bug_once() -> None:
    """A failure that carries a stack is logged with it; any other is in the display alone."""
    stream = Screenful()
    seen = TerminalReporter(stream, Mask())
    with logging_to(stream, None):
        seen.failed(an_error())
        assert stream.getvalue() == ""
        seen.failed(an_error(stack="Traceback (most recent call last): here"))
    assert stream.getvalue().endswith("\nTraceback (most recent call last): here\n")


def test_terminal_says_that_the_database_is_away() -> None:
    """What nobody else would see stands out: the database, and what it said."""
    with Terminal(SCRIPT, 120) as terminal:
        for _ in range(HELD_STEPS):
            lines = terminal.step()
        assert any("limited by the database, which is away" in line for line in lines)
        assert any(line.startswith(" DATABASE AWAY  Permanent: No such") for line in lines)
        assert {"37", "41"} <= terminal.screen.styles  # white on red


def test_terminal_says_that_it_is_stopping() -> None:
    """The stop and its reason are the last line, and stand out."""
    with Terminal(SCRIPT) as terminal:
        for _ in range(HELD_STEPS):
            lines = terminal.step()
        assert lines[-1] == " STOPPING  SIGTERM: no new records"
        assert {"43", "30"} <= terminal.screen.styles  # black on yellow


def test_terminal_ends_with_the_summary(whole: Terminal) -> None:
    """The display is gone, the log is still there, the summary is drawn, the exit code is said, the cursor is back."""
    lines = whole.screen.lines()
    assert lines[-1].endswith("after the end")
    assert lines[-2] == "exit 1: completed with failures — all records were worked on, too many failed"
    assert lines[-3] == "next: python -m worker replay poll-payments:2026-11-22T06:30:00Z"
    assert any("poll-payments completed with 12 failures" in line for line in lines)
    assert any(re.fullmatch(r"\s+done\s+4,900\s+98 %", line) for line in lines)
    assert any("printed by a job" in line for line in lines)
    assert not any("in flight" in line or "STOPPING" in line for line in lines)
    assert whole.screen.cursor_shown


def test_terminal_shows_no_secret(whole: Terminal) -> None:
    """What the mask knows is masked in the summary, too."""
    assert "the key was ***" in whole.written
    assert "sk_live_secret" not in whole.written


def test_terminal_draws_without_flicker(whole: Terminal) -> None:
    """A drawing clears line by line and never the screen; the screen's strict reader has seen every sequence."""
    assert "\x1b[2J" not in whole.written
    assert whole.written.count("\x1b[?25l") == 1


def test_terminal_no_color_is_respected(whole: Terminal) -> None:
    """NO_COLOR: bold and dim may stay, colours go."""
    terminal = shown(NO_COLOR="1")
    assert terminal.screen.styles <= {"0", "1", "2"}
    assert {"31", "32", "33"} <= whole.screen.styles


def test_terminal_columns_are_respected() -> None:
    """COLUMNS narrows the display below the terminal's width."""
    with Terminal(SCRIPT, 120, COLUMNS="60") as terminal:
        assert max(map(len, display(terminal.step()))) == 60


def test_terminal_dumb_gets_plain_lines() -> None:
    """TERM=dumb: no sequence at all, no display, the summary as plain text."""
    terminal = shown(TERM="dumb")
    assert "\x1b" not in terminal.written.replace("\x1b]0;step\x07", "")
    assert "in flight" not in terminal.written
    assert "exit 1: completed with failures" in terminal.written


def test_terminal_that_is_not_utf_8_gets_what_it_can() -> None:
    """A sign that the terminal's encoding lacks is a question mark, not an error."""
    terminal = shown(PYTHONIOENCODING="ascii")
    assert "exit 1: completed with failures ? all records" in terminal.written


BEGIN = """
import asyncio, os, sys
from examples import *
from worker.environment import settings
from worker.mask import Mask
from worker.report.terminal import terminal_reporter
seen = terminal_reporter(settings(), Mask())
sys.stdin.readline()
seen.started(a_start())
seen.progress(a_progress())
os.write(1, b"\\x1b]0;step\\x07")
sys.stdin.readline()
"""

CLOSED_WINDOW = """
seen.progress(a_progress(stopping="SIGHUP"))
seen.progress(a_progress(stopping="SIGHUP"))
asyncio.run(seen.ended(a_summary(), 5.0))
seen.close()
os._exit(7)  # Python's own exit would stumble over the closed output
"""


def test_terminal_that_goes_away_does_not_end_the_run(tmp_path: Path) -> None:
    """A closed window costs the display, nothing else."""
    script = tmp_path / "closed_window.py"
    script.write_text(BEGIN + CLOSED_WINDOW)
    with Terminal(script) as terminal:
        terminal.step()
        terminal.hang_up()
        terminal.let_go()
        assert terminal.exit_code() == 7


def test_terminal_is_left_as_it_was_after_a_crash(tmp_path: Path) -> None:
    """A crash takes the display away, shows the cursor again, and its traceback stays."""
    script = tmp_path / "crash.py"
    script.write_text(f"{BEGIN}raise RuntimeError('boom')")
    with Terminal(script) as terminal:
        assert "in flight" in "".join(terminal.step())
        assert not terminal.screen.cursor_shown
        lines = terminal.step()
        assert terminal.exit_code() == 1
    assert lines[-1] == "RuntimeError: boom"
    assert not any("in flight" in line for line in lines)
    assert terminal.screen.cursor_shown


def test_terminal_pipe_gets_nothing_by_default() -> None:
    """JSON lines go into a pipe; the summary is in them."""
    assert piped(PIPED_RUN) == ""


def test_terminal_pipe_gets_plain_lines_when_asked() -> None:
    """LOG_FORMAT=text in a pipe: the summary in plain lines, without colour, boxes or rich."""
    said = piped(PIPED_RUN, LOG_FORMAT="text")
    assert said.startswith("❌ poll-payments completed with 12 failures")
    assert said.endswith("exit 1: completed with failures — all records were worked on, too many failed\n")
    assert not set(said) & set("\x1b─━│╭")
    assert "12 × resource_missing: No such payment_intent: 'pi_3Nk2x' (e.g. [4711])" in said


def test_terminal_json_asked_for_gets_json_alone() -> None:
    """LOG_FORMAT=json on a terminal is for a machine that reads it."""
    code = "from worker.report.terminal import *\nimport pty, os\nstream = os.fdopen(pty.openpty()[1], 'w')\n"
    code += "print(terminal_reporter(Settings(log_format='json'), Mask(), stream), terminal_reporter(Settings(), Mask(), stream) is None)"
    assert piped(code) == "None False\n"
