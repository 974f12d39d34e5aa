"""The words that are no jobs, and how a job is found beside them."""

from typing import Any

from worker import registry
from worker.job import Job

COMMANDS = {
    "list": "the jobs, with schedule, limits and scope fields",
    "runs": "the latest runs and how they went; runs show <run>: one of them, with attempts and dead letters",
    "replay": "work on the records of a run that failed again, and on those alone",
    "migrate": "create or update the run store, in DATABASE_URL or RUN_TABLE",
    "prune": "forget old runs",
    "local": "start the servers that jobs need on this machine, filled, for runs by hand",
    "new": "write a job on PostgreSQL with its seed, its test and its task definition",
    "doctor": "find what hurts at night in jobs, task definitions, stacks and environment",
    "launch": "start a run's task on ECS, in LAUNCH_CLUSTER; --plan: say what a run will take",
    "serve": "start runs over HTTP: POST /admin/<job>",
    "token": "make a bearer token for serve",
}
PROGRAM = "python -m worker"


def load(name: str) -> type[Job[Any]]:
    """Load a job's file. Raises Faults."""
    return registry.load(name, tuple(COMMANDS))
