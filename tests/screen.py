"""A terminal to test on: a real pty that a child process writes to, and the screen that its bytes would draw."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path
from types import TracebackType

_SEQUENCE = re.compile(
    r"\x1b\[(?P<count>\d*)(?P<move>[AK])|\x1b\[\?25(?P<cursor>[hl])|\x1b\[(?P<style>[\d;]*)m|\x1b\]0;(?P<mark>\w+)\x07"
)
MARK = "\x1b]0;step\x07"


class Screen:
    """What the bytes written so far have drawn; raises for a sequence that no part of the display should need."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0
        self.cursor_shown = True
        self.styles: set[str] = set()
        self.marks = 0

    def lines(self) -> list[str]:
        """Give the rows that hold something."""
        return [text for row in self._rows if (text := "".join(row).rstrip())]

    def feed(self, text: str) -> None:
        """Draw."""
        at = 0
        while at < len(text):
            match = _SEQUENCE.match(text, at) if text[at] == "\x1b" else None
            if match:
                self._obey(match)
            else:
                self._put(text[at])
            at = match.end() if match else at + 1

    def _obey(self, match: re.Match[str]) -> None:
        if match["move"] == "A":
            self._row = max(0, self._row - int(match["count"] or 1))
        elif match["move"] == "K":
            assert match["count"] == "2"
            self._rows[self._row] = []
        elif match["cursor"]:
            self.cursor_shown = match["cursor"] == "h"
        elif match["mark"]:
            self.marks += 1
        else:
            self.styles |= set((match["style"] or "0").split(";"))

    def _put(self, character: str) -> None:
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        else:
            assert character.isprintable() or character == "\ufe0f", (
                f"a control character reached the terminal: {character!r}"
            )
            if self._column == self._width:
                self._column = 0
                self._down()
            row = self._rows[self._row]
            row += [" "] * (self._column + 1 - len(row))
            row[self._column] = character
            self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append([])


class Terminal:
    """Run a script on a pty of that width, step by step: it calls `step()`, and waits there until `step` here returns."""

    def __init__(self, script: Path, width: int = 80, **environ: str) -> None:
        self.screen = Screen(width)
        self.written = ""
        self._master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._child = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=slave,
            stderr=slave,
            cwd=Path(__file__).parent.parent,
            env={**kept, "TERM": "xterm-256color", "PYTHONPATH": f".{os.pathsep}tests", "LC_ALL": "C.UTF-8", **environ},
        )
        os.close(slave)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.hang_up()
        self._child.kill()
        assert self._child.stdin
        self._child.stdin.close()
        self._child.wait(20)

    def step(self) -> list[str]:
        """Let the script go on to its next step, or its end; give what is on the screen then."""
        before = self.screen.marks
        self.let_go()
        while self.screen.marks == before and self._read():
            pass
        return self.screen.lines()

    def let_go(self) -> None:
        """Let the script go on, without looking."""
        assert self._child.stdin
        self._child.stdin.write(b"\n")
        self._child.stdin.flush()

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C: the terminal echoes it (and sends no signal, for it controls nobody)."""
        os.write(self._master, b"\x03")

    def hang_up(self) -> None:
        """Take the terminal away, as a closed window does."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def exit_code(self) -> int:
        """Wait for the script's end."""
        return self._child.wait(20)

    def _read(self) -> bool:
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: the child has closed its end
            return False
        while data and data[-1] & 0x80 and not _whole(data):
            data += os.read(self._master, 1)
        text = data.decode()
        while "\x1b" in text[-12:] and not _SEQUENCE.match(text, text.rindex("\x1b")):
            text += os.read(self._master, 1).decode()
        self.written += text
        self.screen.feed(text)
        return bool(data)


def _whole(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
