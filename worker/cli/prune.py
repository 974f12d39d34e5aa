"""`prune`: forget old runs, with their attempts and dead letters."""

import argparse
import asyncio
import sys

from worker.cli.store import room
from worker.environment import settings


def prune_runs(options: argparse.Namespace) -> int:
    """Delete what ended longer ago than `--keep`, a little at a time."""
    found = settings()
    deleted = asyncio.run(room(found).pruned(found, options.keep))
    sys.stdout.write(f"{deleted:,} runs forgotten\n")
    return 0
