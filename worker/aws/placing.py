"""Place a task: ask ECS until it has one, and believe neither a failure nor an answer that did not come."""

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from worker.aws.calls import Calls
from worker.errors import Permanent, Throttled, Transient, WorkerError
from worker.retry import Retry

RETRY = Retry(attempts=8, first=0.5, longest=8.0)
"""Capacity and network interfaces come back within seconds, mostly."""

PATIENCE_S = 40.0
"""A launcher gives up well before its reservation is taken for a dead one's (launches.STALE)."""

_FOR_GOOD = ("ATTRIBUTE", "EMPTY CAPACITY PROVIDER", "INACTIVE", "LOCATION", "MISSING")
"""Reasons in `failures[]` that another try would meet again (ECS Developer Guide, "API failure reasons")."""
_PASSING = ("capacity is unavailable", "concurrent", "limit", "try again")
"""Words of a refusal that passes all the same."""
_AT_ONCE = 100


class TaskOver(Exception):
    """The launch has had its task, which has stopped."""

    def __init__(self, task_arn: str) -> None:
        super().__init__(task_arn)
        self.task_arn = task_arn


class NotPlaced(Exception):
    """ECS has no task for the launch: that was looked up, not only said."""


class Placing:
    """Ask one cluster for tasks."""

    def __init__(self, calls: Calls, cluster: str, retry: Retry | None = None, patience_s: float = PATIENCE_S) -> None:
        self._calls, self._cluster, self._retry, self._patience_s = calls, cluster, retry or RETRY, patience_s

    async def place(self, arguments: Mapping[str, Any]) -> str:
        """Give the ARN of the task; arguments as RunTask takes them, with a clientToken that is startedBy as well.

        Raises TaskOver for a token whose task has stopped, NotPlaced where ECS had nothing for as long as was tried, Permanent
        where another try would end the same, and Transient where it cannot be told whether there is a task now.
        """
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._place(arguments)
        except TimeoutError as error:
            raise Transient(f"ecs run_task: no task within {self._patience_s:g} s") from error

    async def _place(self, arguments: Mapping[str, Any]) -> str:
        for tries in itertools.count(1):
            try:
                return await self._ask(arguments)
            except (Permanent, Transient) as error:
                last = error
            # With a failure the task may start all the same (apache/airflow#16150); a throttle started nothing.
            over = tries >= self._retry.attempts or not _may_pass(last)
            if (over or not isinstance(last, Throttled)) and (found := await self.there(arguments["startedBy"], over)):
                return found
            if over:
                break
            await asyncio.sleep(self._retry.delay(tries))
        if _may_pass(last):
            raise NotPlaced(str(last))
        raise last

    async def _ask(self, arguments: Mapping[str, Any]) -> str:
        """Call RunTask once: it may refuse by an error, by `failures[]` in a 200, or by a task that has stopped."""
        try:
            answer = await self._calls("ecs", "run_task", **arguments)
        except Permanent as error:
            if error.type == "ConflictException":
                return await self._theirs(error)
            raise
        if not answer["tasks"]:
            raise _failure(answer.get("failures") or [])
        return _living(answer["tasks"][0])

    async def _theirs(self, conflict: Permanent) -> str:
        """Give the task that has the token: it was asked for with other words, by an earlier launcher of the same launch."""
        arns = getattr(conflict.__cause__, "response", {}).get("resourceIds")
        if not arns:
            raise conflict
        answer = await self._calls("ecs", "describe_tasks", cluster=self._cluster, tasks=arns)
        for task in answer["tasks"]:
            return _living(task)
        raise TaskOver(arns[0])  # ECS forgets a task some time after its end

    async def there(self, launch_id: str, certain: bool = True) -> str | None:
        """Find the living task of a launch, whatever RunTask has said; `certain`: raises Transient where that cannot be told."""
        try:
            answer = await self._calls("ecs", "list_tasks", cluster=self._cluster, startedBy=launch_id)
        except Transient:
            if certain:
                raise
            return None
        return next(iter(answer["taskArns"]), None)

    async def stopped(self, arns: Sequence[str]) -> dict[str, str]:
        """Tell which of these tasks have stopped, or are known no more, each with the reason."""
        gone: dict[str, str] = {}
        for first in range(0, len(arns), _AT_ONCE):
            some = list(arns[first : first + _AT_ONCE])
            answer = await self._calls("ecs", "describe_tasks", cluster=self._cluster, tasks=some)
            gone |= {failure["arn"]: failure.get("reason", "MISSING") for failure in answer["failures"]}
            gone |= {task["taskArn"]: _why(task) for task in answer["tasks"] if task["lastStatus"] == "STOPPED"}
        return gone


def _living(task: Mapping[str, Any]) -> str:
    arn: str = task["taskArn"]
    if task["lastStatus"] == "STOPPED":
        raise TaskOver(arn)
    return arn


def _failure(failures: Sequence[Mapping[str, str]]) -> WorkerError:
    reasons = [failure.get("reason", "") for failure in failures] or ["it gave neither a task nor a failure"]
    said = f"ecs run_task: {'; '.join(reasons)}"
    return Permanent(said, "failures") if any(reason in _FOR_GOOD for reason in reasons) else Transient(said)


def _may_pass(error: WorkerError) -> bool:
    return isinstance(error, Transient) or any(word in str(error).lower() for word in _PASSING)


def _why(task: Mapping[str, Any]) -> str:
    return str(task.get("stoppedReason") or task.get("stopCode") or "stopped")
