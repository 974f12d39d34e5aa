"""The ways in which a task ends: what each means, whether the same run may be started again as it is, and by whom."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Way:
    """One way to end."""

    verdict: str
    what: str
    """What happened, in words."""
    safe: bool = False
    """Whether the same run may be started again as it is: nothing has to be mended first."""
    restart: bool = False
    """Whether it is started again by itself."""
    do: str = ""
    """What a person does about it."""


SUCCEEDED = Way("succeeded", "the worker exited 0: its work is done, or others were at it", safe=True)
FAILED = Way(
    "failed",
    "the worker exited 1: it was aborted, crashed, or too many records failed",
    do="the next command shows why",
)
COULD_NOT_START = Way(
    "could not start",
    "the worker exited 2: usage, configuration or scope is wrong, and no record was touched",
    do="its last log lines say every fault: mend them",
)
LEASE_LOST = Way("lost its lease", "the worker exited 3: a newer attempt took the run over", safe=True)
INTERRUPTED = Way("interrupted", "the worker exited 75: it was stopped before the end", safe=True, restart=True)
DEADLINE = Way(
    "deadline passed",
    "the worker exited 75: its timeout passed before its work was done",
    safe=True,
    do="see what limited it; raise the job's timeout or its limits if this comes again",
)
OUT_OF_MEMORY = Way("out of memory", "the worker was killed because it used more memory than it has")
KILLED = Way(
    "killed",
    "the worker was killed (SIGKILL), and nobody says why",
    safe=True,
    do="look at the memory that it used before: without a reason it is memory more often than not",
)
TERMINATED = Way(
    "terminated early",
    "the worker was stopped (SIGTERM) before it could listen to signals",
    safe=True,
    restart=True,
)
CRASHED_NATIVE = Way(
    "crashed",
    "the worker died of a signal: a fault in a library's machine code, of which Python cannot tell",
    do="its last log lines and the image's last change may say more",
)
NOT_EXECUTABLE = Way(
    "command not runnable",
    "the container's command could not be run",
    do="mend the image or the definition's command",
)
UNKNOWN_CODE = Way("unknown exit code", "the worker exited with a code that is none of its own", do="read its log")
SIDECAR_ENDED = Way(
    "stopped with a sidecar",
    "an essential sidecar ended, and ECS stopped the worker with it",
    safe=True,
    restart=True,
    do="look why it ended; a sidecar that the job can do without is not essential (task definition)",
)
BY_PERSON = Way(
    "stopped by hand",
    "somebody stopped the task (StopTask)",
    safe=True,
    do="start it again when whoever stopped it agrees",
)
BY_SCHEDULER = Way(
    "stopped by a service",
    "the ECS service scheduler stopped the task",
    safe=True,
    do="a job runs as a task of its own, never in a service: start it by its schedule or by launch",
)
SPOT = Way("Spot interruption", "Fargate Spot took its capacity back", safe=True, restart=True)
HOST_LOST = Way("host lost", "the host under the task was retired or lost", safe=True, restart=True)
UNSEEN = Way("ended unseen", "the task had started, and ECS knows no exit code of the worker", safe=True, restart=True)
NOT_STARTED = Way(
    "never started", "the worker's container never ran, for no reason that is known here", safe=True, restart=True
)

_LOST = r"maintenance on the underlying infrastructure|Host EC2 \(instance|underlying host|container instance .*(deregistered|terminated|stopped)"
ELSEWHERE = (
    (re.compile(r"Spot Task was interrupted|Spot (capacity|interruption)", re.IGNORECASE), SPOT),
    (re.compile(_LOST, re.IGNORECASE), HOST_LOST),
)
"""What the task's words say whatever the worker made of it."""

BY_STOP_CODE = {
    "SpotInterruption": SPOT,
    "TerminationNotice": HOST_LOST,
    "InfrastructureHealth": HOST_LOST,
    "UserInitiated": BY_PERSON,
    "ServiceSchedulerInitiated": BY_SCHEDULER,
}
"""What ECS says that stopped a task; the other stop codes leave it to the worker's exit code."""
