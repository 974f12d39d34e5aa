"""What can be planted in the local ECS: how real ECS refuses, fails to start and kills tasks, in its own words.

Sources: ECS API reference (RunTask, Task), ECS Developer Guide ("API failure reasons", "Stopped tasks error codes"), apache/airflow#16150
(failures[] though the task starts), dagster-io/dagster#33439 (a throttle as InvalidParameterException).
"""

import signal
from typing import NamedTuple

CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"

FAILURES = {
    "failures": "RESOURCE:ENI",
    "agent": "AGENT",
    "attribute": "ATTRIBUTE",
    "capacity": CAPACITY,
    "ghost": CAPACITY,
}
"""Answers of RunTask that are a 200 with `failures[]`; a ghost starts its task all the same."""

REFUSALS = {
    "throttled": ("ThrottlingException", "Rate exceeded"),
    "throttled in disguise": ("InvalidParameterException", "Rate exceeded"),
    "no capacity": ("ClientException", CAPACITY),
    "server error": ("ServerException", "Service Unavailable. Please try again later."),
    "access denied": ("AccessDeniedException", "User is not authorized to perform: ecs:RunTask"),
}
"""Errors that any call can be answered with: code and message."""

STARTS = {
    "no image": "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref: not found",
    "no secrets": "ResourceInitializationError: unable to pull secrets or registry auth: unable to retrieve secret from asm: {}",
    "no network": "Timeout waiting for network interface provisioning to complete.",
}
"""Why a task that RunTask has answered never runs its container: stopCode TaskFailedToStart, no exit code."""


SLOW = "slow start"
"""A task that stays PENDING until it is released."""


class Strike(NamedTuple):
    """What kills a running task, and what DescribeTasks says of it afterwards."""

    signal: signal.Signals
    stop_code: str
    stopped_reason: str
    container_reason: str | None = None
    has_exit_code: bool = True


EXITED = ("EssentialContainerExited", "Essential container in task exited")

STRIKES = {
    "out of memory": Strike(signal.SIGKILL, *EXITED, "OutOfMemoryError: Container killed due to memory usage"),
    "killed": Strike(signal.SIGKILL, *EXITED),
    "spot": Strike(signal.SIGTERM, "SpotInterruption", "Your Spot Task was interrupted."),
    "host lost": Strike(
        signal.SIGKILL, "InfrastructureHealth", "The infrastructure that the task ran on is not healthy.", None, False
    ),
}
