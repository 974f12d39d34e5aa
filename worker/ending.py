"""How an attempt ended: the verdict on it, and the command that comes next."""

from worker.allowance import bounded
from worker.budget import percent
from worker.engine import Engine
from worker.errors import DatabaseAway, LeaseLost, told
from worker.ledger import Ledger
from worker.mask import Mask
from worker.origin import in_job
from worker.parts import Parts
from worker.scope import as_flags, encode, secrets
from worker.source import Acknowledging
from worker.verdict import Verdict


def broken(error: Exception, mask: Mask) -> tuple[Verdict, str]:
    """Give the verdict on an attempt that something ended."""
    if isinstance(error, LeaseLost):
        return Verdict.LEASE_LOST, mask(str(error))
    if isinstance(error, DatabaseAway):
        return Verdict.INTERRUPTED, mask(str(error))
    said, origin = told(error), in_job(error)
    if origin:
        said = f"{origin[0]} raised {said} ({origin[1]})"
    return Verdict.CRASHED, mask(said.encode(errors="replace").decode())


def judged(engine: Engine, parts: Parts) -> tuple[Verdict, str]:
    """Give the verdict on an attempt that came to its end by itself."""
    if engine.ledger.overdrawn and not engine.complete:
        return Verdict.ABORTED, engine.ledger.overdrawn
    if not engine.complete:
        return Verdict.INTERRUPTED, parts.stop.reason or "stopped"
    tally, budget = engine.ledger.run_tally, parts.errors
    if not budget.tolerates(tally):
        return (
            Verdict.COMPLETED_WITH_FAILURES,
            f"{percent(tally.failed_share)} failed, {percent(budget.tolerated)} is tolerated",
        )
    return Verdict.SUCCEEDED, ""


def next_command(parts: Parts, verdict: Verdict, ledger: Ledger | None) -> str | None:
    """Give what a person would type to go on, where there is something to do and to go on with."""
    if verdict is Verdict.SUCCEEDED and ledger is not None and ledger.run_tally.failed:
        verdict = Verdict.COMPLETED_WITH_FAILURES  # tolerated, but there to be replayed
    command = _next(parts, verdict)
    if command is None or (verdict is Verdict.COMPLETED_WITH_FAILURES and isinstance(parts.source, Acknowledging)):
        return command
    return bounded(command, parts.max_affected, capped=ledger is not None and ledger.capped)


def _next(parts: Parts, verdict: Verdict) -> str | None:
    run = parts.run
    if not parts.lasting or parts.mode != "run" or secrets(run.scope):
        return None  # nothing is left of it, it leaves nothing to go on with, or the command would have to show secrets
    if verdict is Verdict.COMPLETED_WITH_FAILURES and isinstance(parts.source, Acknowledging):
        return parts.source.redrive()
    if verdict is Verdict.COMPLETED_WITH_FAILURES or (verdict in _GOES_ON and parts.replay is not None):
        return f"python -m worker replay {run.run_id}"
    if verdict not in _GOES_ON:
        return None
    shard = [f"--shard {parts.shard}"] if parts.shard else []
    flags = as_flags(encode(run.scope))
    return " ".join(["python -m worker", run.job, f"--run-key {run.run_key}", *shard, *flags])


_GOES_ON = (Verdict.INTERRUPTED, Verdict.ABORTED, Verdict.CRASHED, Verdict.LEASE_LOST)
