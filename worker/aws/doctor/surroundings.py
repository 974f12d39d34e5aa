"""Find what is wrong with the environment that the doctor itself runs in, as the worker would read it there."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from worker.aws.doctor import codes
from worker.aws.doctor.finding import Finding
from worker.environment import VARIABLES, settings
from worker.errors import Faults
from worker.job import Job

_KNOWN = [variable.name for variable in VARIABLES]
_OURS = "WORKER_"


def refused(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say which variables the worker would refuse, and which it would pass over though they look like its own."""
    try:
        settings(environ)
    except Faults as faults:
        for fault in faults.faults:
            yield codes.SETTING_REFUSED.at("environment", fault, "correct its value, or unset it")
    for name in environ:
        if name.startswith(_OURS) and name not in _KNOWN and (near := get_close_matches(name, _KNOWN, 1, 0.8)):
            yield codes.UNKNOWN_VARIABLE.at("environment", f"{name} is read by nobody", f"did you mean {near[0]}?")


def untunable(job: type[Job[Any]], environ: Mapping[str, str]) -> Iterator[Finding]:
    """Say where what is set here does not go with a job's limits."""
    try:
        found = settings(environ)
        job.limits.tuned(concurrency=found.concurrency, rate=found.rate, page_size=found.page_size)
    except Faults:  # said for all jobs
        return
    except ValueError as error:
        what = f"WORKER_RATE, WORKER_CONCURRENCY or WORKER_PAGE_SIZE: {error}"
        yield codes.SETTING_REFUSED.at("environment", what, "correct its value, or unset it")
