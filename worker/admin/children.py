"""Runs as child processes: the same command as the container's, started, listened to, stopped and reaped here."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from worker.admin.asked import Asked
from worker.admin.child import Child
from worker.admin.ports import Full
from worker.mask import Mask
from worker.runs import RunView
from worker.scope import variable

_KEPT = 200
"""Ended children whose last words are remembered."""

_LONGEST_LINE = 2**20
_NOT_FOR_CHILDREN = ("ADMIN_TOKEN_HASHES", "STARTED_BY", "CORRELATION_ID", "SCHEDULED_TIME")
_PROGRESS_S = "2"
"""How often a run says how far it is, for who looks on."""

_log = logging.getLogger("worker.admin")


def _to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


class Children:
    """Start runs as `argv <job> …`, at most `most` at a time; `say` gets each line of their logs."""

    def __init__(
        self,
        argv: Sequence[str] = (sys.executable, "-m", "worker"),
        *,
        most: int = 4,
        mask: Mask | None = None,
        environ: Mapping[str, str] | None = None,
        say: Callable[[bytes], None] = _to_stdout,
    ) -> None:
        self.closing = asyncio.Event()
        self._argv = tuple(argv)
        self._most = most
        self._mask = mask or Mask()
        self._environ = os.environ if environ is None else environ
        self._say = say
        self._children: dict[str, Child] = {}
        self._lives: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> list[Child]:
        """List the children that have not ended."""
        return [child for child in self._children.values() if not child.ended.is_set()]

    def find(self, run_id: str) -> Child | None:
        """Find the latest child of a run, ended ones included (the last of them)."""
        return self._children.get(run_id)

    def start(self, asked: Asked) -> Child:
        """Start a run; raises Full where no more may go on here. How the start went is the child's to tell."""
        if self.closing.is_set():
            raise Full("this server is being stopped: start the run elsewhere, or here when it is back")
        if len(self.live) >= self._most:
            raise Full(f"{self._most} runs are going on on this server, more it may not have: wait for one to end")
        self._children.pop(asked.run_id, None)
        child = self._children[asked.run_id] = Child(asked, self._mask)
        life = asyncio.create_task(self._live(child))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        return child

    async def stop(self, run: RunView) -> bool:
        """Ask a live run to stop; tell whether its process is one of ours."""
        child = self._children.get(run.run_id)
        if child is None or child.ended.is_set():
            return False
        child.stop()
        return True

    async def close(self, timeout_s: float) -> None:
        """Stop all children as the container would be: SIGTERM, their stop timeout, SIGKILL."""
        self.closing.set()
        for child in self.live:
            child.stop()
        if self._lives:
            _, late = await asyncio.wait(self._lives, timeout=timeout_s)
            for child in self.live if late else ():
                _log.error("run killed", extra={"run_id": child.asked.run_id, "stop_timeout_s": timeout_s})
                child.kill()
        await asyncio.gather(*self._lives)

    async def _live(self, child: Child) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                *_arguments(child.asked),
                env=self._environment(child.asked),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LONGEST_LINE,
                # A session of its own: Ctrl-C in serve's terminal reaches it once, as our SIGTERM.
                start_new_session=True,
            )
            child.began(process)
            await self._listen(child, process)
            child.end(await process.wait())
        except OSError as error:
            child.unstartable(f"the process could not be started: {error.strerror}")
        finally:
            child.ended.set()
            self._forget()

    async def _listen(self, child: Child, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                _log.warning("log line left out", extra={"run_id": child.asked.run_id, "over": _LONGEST_LINE})
                continue
            if not line:
                return
            text, understood = child.hear(line)
            if line.startswith(b"{"):
                if child.passes(understood):
                    self._say(line)
            else:
                _log.warning("run printed", extra={"run_id": child.asked.run_id, "line": text})

    def _environment(self, asked: Asked) -> dict[str, str]:
        """Give our environment and the run's own; a scope of ours must not narrow it."""
        fields = {variable(name) for name in asked.scope.__struct_fields__}
        kept = {name: value for name, value in self._environ.items() if name not in {*fields, *_NOT_FOR_CHILDREN}}
        said = {"STARTED_BY": asked.started_by, "CORRELATION_ID": asked.correlation_id}
        ours = {"RUN_KEY": asked.run_key, "TRIGGER": "admin", "LOG_FORMAT": "json", "PROGRESS_EVERY": _PROGRESS_S}
        return {**kept, **asked.variables, **{name: value for name, value in said.items() if value}, **ours}

    def _forget(self) -> None:
        ended = [run_id for run_id, child in self._children.items() if child.ended.is_set()]
        for run_id in ended[:-_KEPT]:
            del self._children[run_id]


def _arguments(asked: Asked) -> list[str]:
    """Say what is no scope; the scope goes by the environment, which `ps` does not show."""
    most = _flag("--max-affected", asked.max_affected)
    if asked.replay is not None:
        selected = [*_flag("--error", asked.replay.error), *_flag("--key", asked.replay.key)]
        return ["replay", *selected, *most, "--", asked.run_id]
    bound = [*_flag("--max-records", asked.max_records), *_flag("--shards", asked.shards)]
    return [asked.job.name, *(["--dry-run"] if asked.dry_run else []), *bound, *most]


def _flag(name: str, value: object) -> list[str]:
    return [] if value is None else [f"{name}={value}"]
