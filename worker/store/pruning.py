"""Delete old runs from the store."""

from datetime import timedelta

from worker.database import Link

_AT_ONCE = 500

_DELETE = """
DELETE FROM worker.runs WHERE run_id IN (
    SELECT run_id FROM worker.runs WHERE parent IS NULL AND lease IS NULL AND created_at < now() - $1::interval
        AND coalesce(ended_at, created_at) < now() - $1::interval
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)"""

_DELETE_LAUNCHES = (
    "DELETE FROM worker.launches WHERE reserved_at < now() - $1::interval AND state IN ('failed', 'over')"
)

# Since when a job is watched is no news that grows old: forgotten, it would owe nothing from before.
_DELETE_MARKS = "DELETE FROM worker.marks WHERE at < now() - $1::interval AND key NOT LIKE 'watched/%'"


async def prune(link: Link, keep: timedelta) -> int:
    """Delete the runs that ended longer ago, and their launches, a few hundred a transaction so that no live run waits; give their number."""
    deleted = 0
    async with link.using() as connection:
        await connection.execute(_DELETE_LAUNCHES, keep)
        await connection.execute(_DELETE_MARKS, keep)
    while True:
        async with link.using() as connection:
            status = await connection.execute(_DELETE, keep, _AT_ONCE)
        count = int(status.split()[-1])
        deleted += count
        if count < _AT_ONCE:
            return deleted
