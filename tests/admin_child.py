"""Stand in for `python -m worker`: a process that takes a run's place and does what its scope's `act` says."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

folder, job, *flags = sys.argv[1:]
if job == "replay":
    job = flags[-1].partition(":")[0]
key = os.environ["RUN_KEY"]
act = os.environ.get("JOB_ACT", "succeed")
run: dict[str, Any] = {"run_id": f"{job}:{key}", "job": job, "run_key": key, "attempt": 1}
run["scope"] = json.loads(os.environ.get("SHOWN_SCOPE", "{}")) or ({"act": act} if "JOB_ACT" in os.environ else {})


def say(**fields: Any) -> None:
    """Print a log line."""
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


def record(status: str, exit_code: int | None = None) -> None:
    """Write the run where the test's run store reads it."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ended = {"exit_code": exit_code, "ended_at": stamp, "summary": {"verdict": status}} if exit_code is not None else {}
    text = json.dumps({**run, "status": status, "dry_run": "--dry-run" in flags, "created_at": stamp, **ended})
    scratch = Path(folder, f".{os.getpid()}")
    scratch.write_text(text)
    scratch.replace(Path(folder, f"{run['run_id']}.json"))


def end(status: str, exit_code: int) -> None:
    """Record the end and leave."""
    record(status, exit_code)
    say(event="ended", verdict=status)
    sys.exit(exit_code)


def progress(elapsed_s: float, rate: float) -> None:
    """Say how far it is, as the log reporter does."""
    say(
        event="…",
        elapsed_s=elapsed_s,
        in_flight=3,
        rate=rate,
        eta_s=9.0,
        total=100,
        limited_by="rate",
        tally={"read": 7},
    )


if act == "refuse":
    say(event="could not start", faults=["STRIPE_API_KEY is not set", "the schema is not migrated"])
    sys.exit(2)
if act == "overlap":
    say(event="ended", verdict="overlapped", detail=f"{job}:other is going on")
    sys.exit(0)
if act == "crash":
    raise RuntimeError("broken with " + os.environ.get("JOB_SECRET", ""))
if act in ("hold", "stubborn"):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    record("running")
    say(event="started, attempt 1", limits={"rate": {"count": 180, "per": 2.0}})
    progress(1.0, 5.0)
    say(event="…", error_fingerprint="f", error_type="Refused", error_message="no", error_sample_key="7", error_count=1)
    say(
        event="…", error_fingerprint="f", error_type="Refused", error_message="no", error_sample_key="7", error_count=10
    )
    progress(2.0, 90.0)
    say(event="started", pid=os.getpid(), arguments=sys.argv[2:], environment=dict(os.environ))
    signal.sigwait({signal.SIGTERM})
    if act == "stubborn":
        signal.pause()
    end("interrupted", 75)
if act == "chatter":
    sys.stdout.write("x" * 3_000_000 + "\n")
    sys.stdout.write(f"a plain line with {os.environ['JOB_SECRET']} and s3cret-of-ours\n")
say(event="started", pid=os.getpid(), arguments=sys.argv[2:], environment=dict(os.environ))
end("succeeded", 0)
