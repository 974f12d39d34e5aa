"""The STOPPED reporter: says why a task died, starts the run again where that helps, and counts every end.

Lambda hands it "ECS Task State Change" events, at least once each. What it could not do it raises, after it has done the rest:
Lambda then tries the event again, and keeps it in its dead letters at last.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from worker import registry
from worker.aws.stopped import Stopped, stopped
from worker.aws.verdicts import Ending, explain
from worker.cli.started import scope_of
from worker.errors import Faults
from worker.functions.doors import Doors, opened
from worker.functions.telling import Troubles
from worker.functions.wording import command_scope, facts, task_links
from worker.launches import MOST_RESTARTS, Answer, Full, Known, Launch, Launched, Refused, Unplaced
from worker.notice import Notice
from worker.report import metrics
from worker.runs import KILLED, AttemptView, RunView
from worker.scope import encode
from worker.shard_reports import bury

_log = logging.getLogger("worker.reporter")

_WHOLE_S = 15.0
"""So long may the message of a run in shards take."""


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Take an event as AWS Lambda hands it over."""
    return asyncio.run(_opened(event))


async def _opened(event: Mapping[str, Any]) -> dict[str, Any]:
    async with opened() as doors:
        return await report(event, doors)


async def report(event: Mapping[str, Any], doors: Doors) -> dict[str, Any]:
    """Judge how a task ended, and let it follow what must."""
    task, troubles = stopped(event), Troubles(doors.mask)
    if not task.ran_worker and task.job not in registry.names():
        _log.info("a task stopped that is none of a job's: %s of %s", task.arn, task.definition)
        return {"task": task.arn, "verdict": None, "again": None}
    run: RunView | None = None
    with troubles.kept("the run store did not tell of the run"):
        run = await _run(task, doors)
    if run is not None and task.run_key is None:
        task = replace(task, environment={**task.environment, "RUN_KEY": run.run_key})
    attempt = _attempt(run, task)
    ending = explain(task, attempt.detail if attempt else "", command_scope(run, task.job, task.environment))
    again: Answer | None = None
    with troubles.kept("the launch was not closed, or the run not started again"):
        again = await _follow(task, ending, run, doors, known=not troubles.said)
    if isinstance(again, (Full, Unplaced)):
        troubles.said.append(f"not started again yet: {again}")
    over = again is None or isinstance(again, Refused)
    if ending.silent and not troubles.said and over and not (ending.restart and _of_pipeline(task)):
        with troubles.kept("the shard was not taken for ended"):
            await _bury(task, doors)
    notice = _notice(task, ending, run, again, doors)
    await doors.teller.count(metrics.TASK_STOPPED, _tags(task, ending), task.arn, _time(task))
    if ending.failed:
        with troubles.kept("nobody was alerted"):
            await doors.teller.alert(notice, task.arn)
    if ending.failed and ending.silent and not _spoke(attempt):
        with troubles.kept("Slack was not told"):
            await doors.teller.post(notice, task.arn)
    if ending.silent and run is not None and attempt is not None:
        with troubles.kept("the auditor does not know that this was said"):
            await doors.books.marks.mark(f"dead/{run.run_id}", str(attempt.number))
    _audit(task, ending, notice, troubles)
    troubles.raise_all()
    doors.teller.note("TaskStopped", task.job, Ending=ending.verdict)
    return {"task": task.arn, "verdict": ending.verdict, "again": str(again) if again else None}


async def _run(task: Stopped, doors: Doors) -> RunView | None:
    """Find the run, or its shard, by its name; one whose key the worker made up, by the task."""
    reader = doors.books.reader
    run = await reader.find(task.run_id) if task.run_id else None
    return run if _attempt(run, task) else await reader.by_task(task.job, task.arn) or run


def _attempt(run: RunView | None, task: Stopped) -> AttemptView | None:
    return next((attempt for attempt in run.attempts if attempt.task_arn == task.arn), None) if run else None


def _later(run: RunView, task: Stopped) -> bool:
    """Tell whether the run was taken up since the task stopped: the news of its end is old."""
    return any(attempt.started_at > _time(task) and attempt.task_arn != task.arn for attempt in run.attempts)


def _spoke(attempt: AttemptView | None) -> bool:
    """Tell whether the worker had closed its attempt: then it has told Slack, and was killed while it said the rest."""
    return attempt is not None and attempt.verdict is not None and attempt.detail != KILLED


async def _follow(task: Stopped, ending: Ending, run: RunView | None, doors: Doors, *, known: bool) -> Answer | None:
    """Give back the task's room under the caps, then start the run again by itself, once for this task."""
    launch = await doors.books.launches.released(task.started_by, ending.verdict, task.arn) if task.started_by else None
    if not (ending.restart and known):
        return None
    if run is not None and _later(run, task):
        return Known(run.run_id, run.status)
    try:
        request = _request(task, launch)
    except Faults as faults:
        return Refused(faults.faults)
    if request is None:
        return None
    if doors.launch is None:
        return Refused(("LAUNCH_CLUSTER, LAUNCH_SUBNETS and LAUNCH_SECURITY_GROUPS are not set",))
    if launch is None and await doors.books.marks.marked(f"restart/{task.arn}"):
        return None
    answer = await doors.launch(request)
    if launch is None and not isinstance(answer, (Full, Unplaced)):
        await doors.books.marks.mark(f"restart/{task.arn}")
    return answer


def _of_pipeline(task: Stopped) -> bool:
    """Tell whether a state machine has started it, and starts it again itself where that helps."""
    return task.environment.get("TRIGGER") == "pipeline"


async def _bury(task: Stopped, doors: Doors) -> None:
    """Take for ended what could not say so and is not started again: a task's shard, or all those that `--shards` made in it.

    Where the last one is among them, say how the run ended.
    """
    if task.run_key is None:
        return
    run_id = f"{task.job}:{task.run_key}"
    whole = None if task.shard else await doors.books.reader.find(run_id)
    numbers = [task.shard] if task.shard else range(1, ((whole and whole.shards) or 0) + 1)
    if numbers:
        async with doors.store(task.job) as store:
            for number in numbers:
                await bury(store, run_id, number, doors.teller.of_runs(), _WHOLE_S, task.arn)


def _request(task: Stopped, launch: Launch | None) -> dict[str, Any] | None:
    """Ask for the same run again; None where it is not known what would be the same."""
    number = task.definition.partition(":")[2]
    same = {"trigger": "resume", **({"revision": int(number)} if number.isdecimal() else {})}
    if launch is not None:
        return {**launch.request, **same, "after": launch.number}
    if task.run_key is None or task.command:
        return None
    ref, shard = task.environment.get("SCOPE_REF"), task.environment.get("SHARD")
    asked = {"job": task.job, "run_key": task.run_key, **same, **({"shard": shard} if shard else {})}
    scope = {"scope_ref": ref} if ref else {"scope": encode(scope_of(registry.load(task.job), task.environment, ()))}
    return {**asked, **scope}


def _notice(task: Stopped, ending: Ending, run: RunView | None, again: Answer | None, doors: Doors) -> Notice:
    started = again if isinstance(again, Launched) else None
    origin = [f"run {task.job}:{task.run_key}" if task.run_key else "", f"task {task.arn}", task.definition]
    return Notice(
        job=task.job,
        kind=f"{task.aside} {ending.verdict}" if task.aside else ending.verdict,
        sign="🔁" if started else "💀",
        said=(*ending.sentences, *_restarted(again)),
        facts=facts(run),
        next_command=f"python -m worker runs show {started.launch.run_id}" if started else ending.next_command,
        links=task_links(task, doors.found, run),
        origin=" · ".join(filter(None, origin)),
    )


def _restarted(again: Answer | None) -> list[str]:
    if again is None:
        return []
    if isinstance(again, Launched):
        count = f"restart {again.launch.restarts} of at most {MOST_RESTARTS}"
        return [f"It was started again by itself ({count}): task {again.task_arn.rpartition('/')[2]}."]
    return [f"It was not started again by itself: {again}."]


def _tags(task: Stopped, ending: Ending) -> dict[str, str]:
    code = "none" if task.exit_code is None else str(task.exit_code)
    family = task.definition.partition(":")[0] or task.job
    ends = {"exit_code": code, "stop_code": task.stop_code or "none", "ending": ending.verdict.replace(" ", "_")}
    ends["shard"] = str(
        task.shard or ""
    )  # those of one run end in one second: with the same tags Datadog would keep one
    return {"family": family, "job": task.job, **ends}


def _time(task: Stopped) -> datetime:
    try:
        at = datetime.fromisoformat(task.at)
    except ValueError:
        return datetime.now(UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _audit(task: Stopped, ending: Ending, notice: Notice, troubles: Troubles) -> None:
    """Write every end down: the log is the audit's ground, whoever else has heard of it."""
    told = {"job": task.job, "run_key": task.run_key, "task_arn": task.arn, "ending": ending.verdict}
    codes = {"exit_code": task.exit_code, "stop_code": task.stop_code, "troubles": troubles.said or None}
    level = logging.WARNING if ending.failed else logging.INFO
    _log.log(level, "task stopped: %s", " ".join(notice.said), extra={**told, **codes})
