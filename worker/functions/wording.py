"""Say what the run store knows of a run in the words of the worker's own summaries."""

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from worker import registry
from worker.aws.definition_faults import WORKER
from worker.aws.log_link import firelens_stream, log_url
from worker.aws.stopped import Stopped
from worker.environment import Settings
from worker.errors import Faults
from worker.mask import MASK
from worker.report import words
from worker.runs import RunView
from worker.scope import as_text, masked
from worker.tally import Tally


def command_scope(run: RunView | None, job: str, environment: Mapping[str, str]) -> str | None:
    """Give a run's scope as the command line takes it; None where it cannot be shown."""
    if run is not None:
        fields = {name: as_text(value) for name, value in run.scope.items()}
    elif "SCOPE_REF" in environment:
        return None
    else:
        given = {name[4:].lower(): value for name, value in environment.items() if name.startswith("JOB_")}
        fields = _masked(job, given)
    if MASK in fields.values():
        return None
    return " ".join(f"--scope {shlex.quote(f'{name}={value}')}" for name, value in fields.items())


def _masked(job: str, fields: Mapping[str, str]) -> dict[str, str]:
    """Mask the secret ones; all of them where the job cannot say which these are."""
    try:
        return masked(registry.load(job).Scope, fields) if fields else {}
    except Faults:
        return dict.fromkeys(fields, MASK)


def facts(run: RunView | None) -> dict[str, str]:
    """Give what the last page commit says: how much is done, up to where, and when."""
    if run is None or not run.attempt:
        return {"Records": "none: the run was not begun, or its run store did not tell"}
    told = {"Records": words.counts(Tally.from_json(run.tally))}
    if run.cursor is not None:
        told["Reached"] = ", ".join(map(str, run.cursor))
    if run.heartbeat_at is not None:
        told["Last heard of"] = at(run.heartbeat_at)
    return told


def at(when: datetime) -> str:
    """Write a time: `2026-11-24 02:07 UTC`; with seconds Slack would take a part of it for an emoji."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M %Z}"


def task_links(task: Stopped, found: Settings, run: RunView | None) -> dict[str, str]:
    """Link the worker's log stream, where FireLens writes it, and the run in the console."""
    region = task.arn.split(":")[3] if task.arn.count(":") >= 3 else found.aws_region
    stream = firelens_stream(found.log_stream_prefix or "worker/", WORKER, task.arn)
    links = {"Logs": log_url(found.log_group or f"/ecs/{task.job}", stream, region)} if region else {}
    return links | (found.run_page(run.run_id) if run is not None else {})
