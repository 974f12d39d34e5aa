"""Start a run's task once: checked by the job's own model, under the caps, whatever ECS says at first.

answer = await launcher.launch({"job": "poll-payments", "scope": {"merchant_id": 42}, "trigger": "hand"})
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from worker import registry, run_key
from worker.aws import scope_ref
from worker.aws.backlog import missing, waiting
from worker.aws.calls import Calls
from worker.aws.cluster import Cluster
from worker.aws.overrides import LONGEST, length, overrides
from worker.aws.placing import NotPlaced, Placing, TaskOver
from worker.claim import lease_of
from worker.errors import Faults, Permanent
from worker.job import Job
from worker.launches import (
    PLACED,
    RESERVED,
    Answer,
    Asked,
    Full,
    Known,
    Launch,
    Launched,
    Launches,
    Refused,
    Reservation,
    Reserved,
    Unplaced,
)
from worker.request import MEANT, Request, read
from worker.scope import secrets, whole

_log = logging.getLogger("worker.launcher")

_LONG_ID = "x" * 64


class Launcher:
    """Starts tasks in one cluster, and keeps book of them in the run store."""

    def __init__(
        self,
        launches: Launches,
        calls: Calls,
        cluster: Cluster,
        placing: Placing | None = None,
        *,
        load: Callable[[str], type[Job[Any]]] = registry.load,
        pause_s: float = 1.0,
    ) -> None:
        self._launches, self._calls, self._cluster = launches, calls, cluster
        self._placing = placing or Placing(calls, cluster.name)
        self.load, self._pause_s = load, pause_s

    async def launch(self, values: Mapping[str, Any], key: str | None = None) -> Answer:
        """Start the run that is asked for, or say why not; `key` names it where the request does not.

        Raises Transient where run store or AWS are away: the same request again does no harm.
        """
        try:
            answer = await self._start(await self.kept(await self.read(values, key)))
        except Faults as faults:
            answer = Refused(faults.faults)
        except Permanent as error:
            answer = Refused((str(error),))
        _log.info(str(answer), extra={"answer": type(answer).__name__.lower(), "trigger": values.get("trigger")})
        return answer

    async def launch_all(self, values: Mapping[str, Any], key: str | None = None) -> list[Answer]:
        """Start what a request asks for: one run, or with `backlog` as many as the job's queue needs."""
        if not (isinstance(values, Mapping) and values.get("backlog") is True):
            return [await self.launch(values, key)]
        try:
            request = await self.read(values, key or run_key.made_up("backlog"))
            messages = await waiting(self._calls, request.job)
        except Faults as faults:
            return [Refused(faults.faults)]
        except Permanent as error:
            return [Refused((str(error),))]
        wanted = missing(request, messages, await self._living(request.job))
        _log.info("%d messages wait for %s: %d tasks more", messages, request.job.name, len(wanted))
        return [await self.launch(one) for one in wanted]

    async def _living(self, job: type[Job[Any]]) -> Sequence[Launch]:
        """Give the live launches, those of the job looked after: what has stopped takes no part any more."""
        live = await self._launches.live()
        mine = tuple(launch for launch in live if launch.job == job.name)
        return await self._launches.live() if mine and await self._heal(mine) else live

    async def stop(self, task_arn: str, reason: str) -> None:
        """Have ECS stop a task: SIGTERM, its stop timeout, SIGKILL. Raises Transient, Throttled or Permanent."""
        await self._calls("ecs", "stop_task", cluster=self._cluster.name, task=task_arn, reason=reason)

    async def read(self, values: Mapping[str, Any], key: str | None = None) -> Request:
        """Check a request, with the scope that it refers to. Raises Faults."""
        if isinstance(values, Mapping) and isinstance(values.get("scope_ref"), str):
            if values.get("scope"):
                raise Faults(["a request has scope or scope_ref, not both: one would be worked on, and the other not"])
            values = {**values, "scope": await scope_ref.fetch(self._calls, values["scope_ref"])}
        return read(values, self.load, key)

    async def kept(self, request: Request) -> Request:
        """Move a scope that would not fit into the overrides, or that nobody may see there, to S3."""
        too_long = length(overrides(request, _LONG_ID)) > LONGEST
        if request.scope_ref or not (too_long or secrets(request.scope)):
            return request
        if self._cluster.bucket is None:
            why = f"is longer than the {LONGEST:,} characters that ECS takes" if too_long else "has secrets"
            raise Faults(
                [f"the scope {why}: set LAUNCH_BUCKET, an S3 bucket that tasks may read, to pass it by reference"]
            )
        return request.referring(await scope_ref.keep(self._calls, self._cluster.bucket, request))

    async def _start(self, request: Request) -> Answer:
        asked, looked = self._asked(request), False
        while True:
            answer = await self._launches.reserve(asked)
            if isinstance(answer, Reserved):
                if (placed := await self._place(request, answer)) is not None:
                    return placed
            elif isinstance(answer, Known) and answer.state == RESERVED:
                await asyncio.sleep(self._pause_s)  # it is being placed by another, or was: until that is known
            elif looked or not await self._heal(await self._in_the_way(answer)):
                return answer
            else:
                looked = True

    async def _in_the_way(self, answer: Reservation) -> Sequence[Launch]:
        """Give the launches because of which nothing is started: some may be over, and nobody has said so."""
        if isinstance(answer, Full):
            return answer.live
        if isinstance(answer, Known) and answer.state == PLACED:
            return [launch for launch in await self._launches.live() if launch.task_arn == answer.task_arn]
        return ()

    async def _place(self, request: Request, reserved: Reserved) -> Answer | None:
        """Have ECS place a launch; None where its task has come and gone, and the run store decides anew."""
        launch = reserved.launch
        try:
            arn = await self._placing.place(self._cluster.arguments(request, launch.id))
        except TaskOver as over:
            if reserved.taken_up:
                await self._launches.released(launch.id, "its task has stopped", over.task_arn)
            else:  # another run store's, or one that was pruned: not ours
                await self._launches.failed(launch, f"its token is that of {over.task_arn}, which has stopped")
            return None
        except NotPlaced as error:
            await self._launches.failed(launch, str(error))
            return Unplaced(launch.run_id, str(error))
        except Permanent as error:
            await self._launches.failed(launch, str(error))
            raise
        await self._launches.placed(launch, arn)
        return Launched(launch, arn)

    async def _heal(self, live: Sequence[Launch]) -> bool:
        """Give back the room of tasks that have stopped and of launchers that died; tell whether there was any."""
        now = datetime.now(UTC)
        gone = await self._placing.stopped([launch.task_arn for launch in live if launch.task_arn])
        healed = 0
        for launch in live:
            if launch.task_arn in gone and (gone[launch.task_arn] != "MISSING" or launch.old(now)):
                await self._launches.released(launch.id, gone[launch.task_arn])
                healed += 1
            elif launch.stale(now):
                healed += await self._settle(launch)
        return healed > 0

    async def _settle(self, launch: Launch) -> bool:
        """Find out what became of a launch whose launcher died; tell whether its room is free."""
        arn = await self._placing.there(launch.id)
        if arn is not None:
            await self._launches.placed(launch, arn)
            return False
        await self._launches.failed(launch, "its launcher died before it was placed")
        return True

    def _asked(self, request: Request) -> Asked:
        job = request.job
        lease = lease_of(job.name, request.scope if job.one_per_scope else None, dry_run=request.dry_run)
        return Asked(
            job=job.name,
            run_key=request.run_key,
            lease=f"{lease} {request.shard}" if request.shard else lease,
            scope_hash=hashlib.sha256(whole(request.scope)).hexdigest(),
            shard=request.shard or "",
            dry_run=request.dry_run,
            request=request.values(),
            again=request.trigger in MEANT,
            restart=request.trigger == "resume",
            after=request.after,
            most_of_job=job.max_tasks,
            most=self._cluster.most,
        )
