"""`prune`: forget old runs, with their attempts and dead letters."""

import argparse
import asyncio
import sys
from datetime import timedelta

from worker.cli.database import required_url
from worker.database import Link
from worker.errors import Faults, Transient
from worker.store.pruning import prune


def prune_runs(options: argparse.Namespace) -> int:
    """Delete what ended longer ago than `--keep`, a little at a time."""
    deleted = asyncio.run(_prune(required_url(), options.keep))
    sys.stdout.write(f"{deleted:,} runs forgotten\n")
    return 0


async def _prune(url: str, keep: timedelta) -> int:
    async with Link(url, "prune") as link:
        try:
            return await prune(link, keep)
        except Transient as error:
            raise Faults([str(error)]) from error
