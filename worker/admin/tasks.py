"""Runs as tasks: the launcher starts them on ECS, where they go on when this server ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker.admin.asked import Asked
from worker.admin.live import Live
from worker.admin.ports import Full, Unfit
from worker.errors import WorkerError
from worker.launches import Answer, Known, Launched
from worker.runs import PENDING, RunView
from worker.scope import encode, shown
from worker.verdict import Verdict

Launch = Callable[[Mapping[str, Any]], Awaitable[Answer]]
StopTask = Callable[[str, str], Awaitable[None]]
"""Has ECS stop a task, for a reason."""

_KEPT = 200
"""Starts that are remembered, for what the run store does not know yet."""


class Starting:
    """A run that is being started; `ended` is set when the launcher has answered, and the rest is the run store's to tell."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.ended = asyncio.Event()
        self.live = Live()
        """Says nothing: only the task's own log has it."""
        self.tasks: list[str] = []
        """The tasks that were started, as far as is known here."""
        self.view = RunView(
            run_id=asked.run_id,
            job=asked.job.name,
            run_key=asked.run_key,
            scope=shown(asked.scope),
            dry_run=asked.dry_run,
            status=PENDING,
            created_at=datetime.now(UTC),
        )

    def failed(self, why: str) -> None:
        """Note that no task was started."""
        not_started = Verdict.NOT_STARTED
        self.view = replace(
            self.view,
            status=not_started.word,
            exit_code=not_started.exit_code,
            ended_at=datetime.now(UTC),
            detail=why,
            faults=(why,),
        )


class Tasks:
    """Start runs by the launcher, which keeps the caps."""

    def __init__(self, launch: Launch, stop_task: StopTask) -> None:
        self.closing = asyncio.Event()
        self._launch, self._stop_task = launch, stop_task
        self._starts: dict[str, Starting] = {}
        self._lives: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> list[Starting]:
        """List the starts that the launcher has not answered."""
        return [start for start in self._starts.values() if not start.ended.is_set()]

    def find(self, run_id: str) -> Starting | None:
        """Find the latest start of a run."""
        return self._starts.get(run_id)

    def start(self, asked: Asked) -> Starting:
        """Start a run; how that went is the start's to tell."""
        if self.closing.is_set():
            raise Full("this server is being stopped: start the run elsewhere, or here when it is back")
        if asked.replay is not None:
            word = "dead letters are replayed by a process, not by a task"
            raise Unfit(f"{word}: a server without --ecs does it, and python -m worker replay")
        self._starts.pop(asked.run_id, None)
        for oldest in list(self._starts)[: -_KEPT + 1]:
            del self._starts[oldest]
        start = self._starts[asked.run_id] = Starting(asked)
        life = asyncio.create_task(self._place(start))
        self._lives.add(life)
        life.add_done_callback(self._lives.discard)
        return start

    async def stop(self, run: RunView) -> bool:
        """Have ECS stop the tasks that work on a run; tell whether there were any."""
        start = self._starts.get(run.run_id)
        attempts = [each.attempts[-1] for each in (run, *run.parts) if each.live and each.attempts]
        arns = {attempt.task_arn for attempt in attempts if attempt.task_arn} or set(start.tasks if start else ())
        for arn in arns:
            await self._stop_task(arn, "stopped by request")
        return bool(arns)

    async def close(self, timeout_s: float) -> None:
        """Wait for the launcher's answers; the tasks go on."""
        self.closing.set()
        if self._lives:
            await asyncio.wait(self._lives, timeout=timeout_s)

    async def _place(self, start: Starting) -> None:
        asked = start.asked
        values = {
            "job": asked.job.name,
            "run_key": asked.run_key,
            "scope": encode(asked.scope),
            "trigger": "admin",
            "started_by": asked.started_by,
            "dry_run": asked.dry_run,
            "max_records": asked.max_records,
            "max_affected": asked.max_affected,
        }
        shards = [f"{number}/{asked.shards}" for number in range(1, asked.shards + 1)] if asked.shards else [None]
        try:
            for shard in shards:
                answer = await self._launch({**values, "shard": shard})
                if isinstance(answer, Launched):
                    start.tasks.append(answer.task_arn)
                elif not isinstance(answer, Known):
                    start.failed(str(answer))
        except WorkerError as error:
            start.failed(str(error))
        finally:
            start.ended.set()
