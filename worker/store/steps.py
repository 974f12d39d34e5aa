"""What each step of a run changes in its items in DynamoDB: pure, no I/O."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

import msgspec

from worker.claim import Claim, Granted
from worker.events import History, Summary
from worker.ledger import Batch, Committed, corrected
from worker.runs import KILLED, PENDING, RUNNING
from worker.store.items import RunItem, attempt_item, checked, encoded, expiry, now, told, unpacked
from worker.store.table import Item
from worker.tally import Tally
from worker.verdict import Verdict

_ANEW: Item = {
    "source": None,
    "cursor": "null",
    "open_keys": b"[]",
    "tally": "{}",
    "forgiven": "{}",
    "ends": "{}",  # the dead letters of before count no more
}


_COMPLETE = {verdict.word for verdict in Verdict if verdict.complete}


def new_shard(claim: Claim) -> Item:
    """Give the item of a shard that nobody has begun: a run with a lease of its own, and in no index."""
    assert claim.shard is not None, "a shard's claim"
    own = {"pk": claim.run_id, "lease": claim.run_id, "parent": claim.whole_id, "shard": claim.shard.number}
    nowhere = {"kind": None, "created_at": None, "shards": None, "bounds": None, "open_shards": None}
    return new(claim) | own | nowhere


def new(claim: Claim) -> Item:
    """Give the item of a run that nobody has begun."""
    of = claim.shard.of if claim.shard else None
    return {
        "shards": of,
        "bounds": encoded([] if claim.bounds is None else claim.bounds) if of else None,
        "open_shards": encoded(list(range(1, of + 1))) if of else None,
        "pk": claim.whole_id,
        "sk": "run",
        "kind": "run",
        "job": claim.job,
        "run_key": claim.run_key,
        "lease": claim.lease,
        "mode": claim.mode,
        "scope": encoded(claim.scope),
        "scope_hash": claim.scope_hash,
        "status": PENDING,
        "created_at": now(),
        "expires": expiry(),
        "revision": 1,
        "commits": 0,
        "attempt": 0,
        "held": False,
    }


def joined(whole: RunItem, parts: Mapping[int, RunItem], claim: Claim, token: int, lease_s: float) -> Item:
    """Have a shard join its run: open, and holding the job's lease with the others.

    Where nobody holds it, an attempt of the run begins: with all shards that have records left, of `parts` those that have begun.
    """
    assert claim.shard is not None, "a shard joins"
    left = {
        number
        for number in range(1, claim.shard.of + 1)
        if number not in parts or parts[number].status not in _COMPLETE
    }
    still = (set(msgspec.json.decode(whole.open_shards)) if whole.held else left) | {claim.shard.number}
    worked = [
        number for number in msgspec.json.decode(whole.worked) if not (claim.restart and number == claim.shard.number)
    ]
    at = now()
    changes: Item = {
        "token": token,
        "held": True,
        "lease_s": lease_s,
        "heartbeat_at": at,
        "status": RUNNING,
        "detail": None,
        "ended_at": None,
        "untold": None,
        "open_shards": encoded(sorted(still)),
        "worked": encoded(worked) if worked else None,
        "expires": expiry(),
    }
    if whole.held:
        return changes
    attempt = {"attempt": whole.attempt + 1, "verdict": None, "started_at": at, "before": whole.tally, "replay": None}
    told = {"prior": None, "task_arn": None, "host": claim.host, "version": claim.version, "ends": whole.ends_so_far()}
    return changes | attempt | told


def begun(run: RunItem, claim: Claim, token: int, lease_s: float) -> Item:
    """Begin an attempt that holds the lease. A replay that was cut short goes on under its number, any other is a new one."""
    at, tally = now(), "{}" if claim.restart else run.tally
    completed = run.status == Verdict.COMPLETED_WITH_FAILURES.word and not claim.restart
    replays = claim.replay is not None or completed
    cut_short = run.replay is not None and run.verdict == Verdict.INTERRUPTED.word
    replay = run.replays + (0 if cut_short else 1) if replays else None
    return {
        "token": token,
        "held": True,
        "lease_s": lease_s,
        "heartbeat_at": at,
        "ends": run.ends_so_far(),
        "status": RUNNING,
        "detail": None,
        "ended_at": None,
        "forgiven": run.tally if run.status == Verdict.ABORTED.word else run.forgiven,
        "replays": run.replays if replay is None else replay,
        "attempt": run.attempt + 1,
        "verdict": None,
        "started_at": at,
        "before": tally,
        "replay": replay,
        "prior": run.status if replays else None,
        "task_arn": claim.task_arn,
        "host": claim.host,
        "version": claim.version,
        "expires": expiry(),
        **(_ANEW if claim.restart else {}),
    }


def granted(run: RunItem) -> Granted:
    """Say from where an attempt that has begun goes on."""
    before, forgiven = _before(run), tally_of(run.forgiven)
    if run.replay is not None:
        return Granted(run.attempt, run.source, None, [], before, forgiven, run.replay, run.prior in _COMPLETE)
    cursor, open_keys = msgspec.json.decode(run.cursor), unpacked(run.open_keys)
    return Granted(run.attempt, run.source, cursor, open_keys, before, forgiven)


def deposed(holder: RunItem, token: int) -> Item:
    """Fence off a holder; or one that was killed between its two writes, whose token must never be taken up."""
    if not holder.held:
        return {"token": token, "ends": holder.ends_so_far()}
    return {
        "held": False,
        "status": holder.prior or Verdict.INTERRUPTED.word,
        "detail": KILLED,
        "verdict": Verdict.INTERRUPTED.word,
        "ended_at": holder.heartbeat_at,
        "worked_s": holder.duration_s(),
    }


def checkpoint(run: RunItem, batch: Batch, source: str, committed: Committed) -> Item:
    """Move a run on; of a replay, where the run itself is to go on is not its business."""
    tally = encoded(total(run, corrected(batch.tally, committed)).to_json())
    changes: Item = {"commits": committed.number, "heartbeat_at": now(), "expires": expiry(), "tally": tally}
    if run.replay is None:
        changes |= {"source": source, "cursor": encoded(batch.cursor), "open_keys": checked(batch.open_keys)}
    return changes


def recognised(run: RunItem, hoped: Tally) -> Committed:
    """Say what a commit whose answer was lost has left out, from the tally that it saved."""
    saved = tally_of(run.tally)
    refused = saved.failed - hoped.failed
    return Committed(run.commits, hoped.done - saved.done - refused, lost_refusals=refused)


def ended(run: RunItem, summary: Summary) -> tuple[Item, Item]:
    """Give the item of an attempt that is over, and what its end changes in the run's."""
    at, word = now(), summary.verdict.word
    attempt = attempt_item(run) | {
        "ended_at": at,
        "verdict": word,
        "exit_code": summary.verdict.exit_code,
        "detail": summary.detail,
        "tally": encoded(summary.tally.to_json()),
        "summary": told(summary),
    }
    worked_s = run.duration_s(until=datetime.fromisoformat(at))
    status = _resting(run, summary.verdict)
    rest = {"held": False, "status": status, "detail": summary.detail, "verdict": word, "ended_at": at}
    return attempt, rest | {"worked_s": worked_s}


def total(run: RunItem, attempt: Tally) -> Tally:
    """Give the run's counts, from the attempt's."""
    before = _before(run)
    return before.plus(attempt) if run.replay is None else before.after_replay(attempt)


def median_of(runs: Sequence[RunItem]) -> History | None:
    """Compare with earlier runs, where there are any."""
    tallies = [tally_of(run.tally) for run in runs]
    if not tallies:
        return None
    return History(
        runs=len(runs),
        duration_s=median(run.worked_s for run in runs),
        records=median(float(tally.read) for tally in tallies),
        failed=median(float(tally.failed) for tally in tallies),
    )


def tally_of(text: str) -> Tally:
    """Read a tally."""
    return Tally.from_json(msgspec.json.decode(text))


def _before(run: RunItem) -> Tally:
    """Give what the attempts before have finished: what was only read will be read again."""
    before = tally_of(run.before)
    before.read = before.finished
    return before


def _resting(run: RunItem, verdict: Verdict) -> Any:
    """Give the run's status after this end: a replay changes it only if the run itself had been completed."""
    completed = run.prior and Verdict.of(run.prior).complete
    return run.prior if run.prior and not (completed and verdict.complete) else verdict.word
