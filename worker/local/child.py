"""Have the local stack in a process of its own, beside the worker that uses it."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, Self

from worker.errors import Faults
from worker.local.words import last_words

COMMAND = (sys.executable, "-m", "worker", "local")


class Local:
    """The stack in a child process: `with Local(options) as local: local.environment`, and then `local.report`.

    Making it starts the child, entering waits until all runs: what lies between (imports) costs no time. It ends with us,
    whatever becomes of us: when its stdin does.
    """

    def __init__(self, options: Sequence[str], command: Sequence[str] = COMMAND) -> None:
        self.environment: dict[str, str] = {}
        """The variables that point at what was started."""
        self.started: list[str] = []
        """What was started and where, in words."""
        self.report: str | None = None
        """What the servers counted, in words, once all has ended."""
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when left
        self._process = subprocess.Popen(
            [*command, *options, "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,  # Ctrl-C is for the worker, which needs its servers to drain
        )

    def __enter__(self) -> Self:
        """Wait until everything runs. Raises Faults where it does not."""
        said = self._read()
        if "environment" not in said:
            self.__exit__()
            raise Faults(said.get("error") or [str(self.report)])
        self.environment, self.started = said["environment"], said["started"]
        return self

    def __exit__(self, *_: object) -> None:
        """Have everything taken away, and wait for it."""
        assert self._process.stdin is not None
        with self._process, self._words:
            self._process.stdin.close()
            said = self._read()
            code = self._process.wait()
            self.report = said.get(
                "report", f"the local servers ended early (exit code {code}): {last_words(self._words)}"
            )

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        said: dict[str, Any] = json.loads(line) if line else {}
        return said
