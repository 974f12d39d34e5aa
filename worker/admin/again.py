"""A run that is in the store taken up once more: resumed where it stopped, or its dead letters replayed."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec

from worker.admin.asked import LONGEST_WAIT_S, Asked, option, seconds, tried, unknown
from worker.admin.problems import Problem
from worker.claim import Selection
from worker.errors import Faults
from worker.job import Job
from worker.mask import MASK
from worker.runs import RunView
from worker.scope import Scope, parse, variables, whole
from worker.verdict import Verdict

WAIT: Mapping[str, Any] = {"wait": bool | Annotated[float, msgspec.Meta(ge=0, le=LONGEST_WAIT_S)]}
"""What may stand in any body."""

RESUME: Mapping[str, Any] = {"max_affected": Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None, **WAIT}
"""What may stand in the body of a resume, beside the secret fields of the scope, which are not kept."""

REPLAY: Mapping[str, Any] = {"error": str | None, "key": str | None, **RESUME}
"""What may stand in the body of a replay, beside them."""


def resumed(job: type[Job[Any]], run: RunView, scope_hash: str | None, values: Mapping[str, Any]) -> Asked:
    """Ask for a run to go on. Raises Problem where it cannot, or for what is wrong with the body."""
    if run.status == Verdict.SUCCEEDED.word:
        raise _cannot(run, "has succeeded: there is nothing to go on with")
    return _asked(job, run, scope_hash, values, RESUME)


def replayed(job: type[Job[Any]], run: RunView, scope_hash: str | None, values: Mapping[str, Any]) -> Asked:
    """Ask for a run's dead letters to be worked on again. Raises Problem where that cannot be, or for what is wrong with the body."""
    if run.dry_run:
        raise _cannot(run, "was a dry run: it has no dead letters")
    if not run.live and not run.tally.get("failed"):
        raise _cannot(run, "has no dead letters: there is nothing to replay")
    return _asked(job, run, scope_hash, values, REPLAY)


def _asked(
    job: type[Job[Any]],
    run: RunView,
    scope_hash: str | None,
    values: Mapping[str, Any],
    options: Mapping[str, Any],
) -> Asked:
    whole_run = f"{run.job}:{run.run_key}"
    if run.run_id != whole_run:
        raise _cannot(run, f"is a shard, which is taken up with the others: take up {whole_run}")
    if run.live:
        raise _cannot(run, "is going on")
    hidden = [name for name, value in run.scope.items() if value == MASK]
    faults = unknown(values, [*hidden, *options])
    faults += [
        f"{name} is a secret of the run's scope, which is not kept: say it again"
        for name in hidden
        if name not in values
    ]
    said = {name: tried(faults, option, name, values[name], kind) for name, kind in options.items() if name in values}
    scope = None if faults else tried(faults, _scope, job, run, scope_hash, {name: values[name] for name in hidden})
    if faults or scope is None:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{run.run_id} cannot be taken up like this", errors=faults)
    return Asked(
        job=job,
        run_key=run.run_key,
        scope=scope,
        variables=variables(scope),
        dry_run=run.dry_run,
        max_affected=said.get("max_affected"),
        replay=Selection(said.get("error"), said.get("key")) if options is REPLAY else None,
        shards=run.shards,
        wait_s=seconds(said.get("wait") or False),
    )


def _scope(job: type[Job[Any]], run: RunView, scope_hash: str | None, secret: Mapping[str, Any]) -> Scope:
    """Build the run's scope. Raises Faults where it is not the run's after all."""
    scope: Scope = parse(job.Scope, {**run.scope, **secret})
    if scope_hash is not None and hashlib.sha256(whole(scope)).hexdigest() != scope_hash:
        why = f"the values of {', '.join(secret)} are not the run's" if secret else "the job's scope has changed since"
        raise Faults([f"this is not the scope of {run.run_id}: {why}"])
    return scope


def _cannot(run: RunView, why: str) -> Problem:
    return Problem(HTTPStatus.CONFLICT, f"{run.run_id} {why}", run={"run_id": run.run_id, "status": run.status})
