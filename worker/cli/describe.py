"""A job in a few words, for help and lists."""

import sys
from typing import Any

from worker.job import Job


def purpose(job: type[Job[Any]]) -> str:
    """Give the first line of the job file's docstring."""
    doc = (sys.modules[job.__module__].__doc__ or job.__doc__ or "").strip()
    return doc.splitlines()[0] if doc else ""


def bounds(job: type[Job[Any]]) -> str:
    """Give its limits in one line."""
    limits = job.limits
    age = f", at most {limits.max_age:g} s old" if limits.max_age is not None else ""
    return f"{limits.concurrency} in flight, {limits.rate or 'no rate limit'}, pages of {limits.page_size}{age}"
