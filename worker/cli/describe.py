"""A job in a few words, for help and lists."""

from typing import Any

from worker.job import Job


def bounds(job: type[Job[Any]]) -> str:
    """Give its limits in one line."""
    limits = job.limits
    age = f", at most {limits.max_age:g} s old" if limits.max_age is not None else ""
    return f"{limits.concurrency} in flight, {limits.rate or 'no rate limit'}, pages of {limits.page_size}{age}"
