"""Delete old runs from a run store in DynamoDB."""

from datetime import UTC, datetime, timedelta

from worker.store.items import RunItem, run_of
from worker.store.table import Table, keys
from worker.store.table_shards import TableShards


async def prune(table: Table, keep: timedelta) -> int:
    """Delete the runs that ended longer ago, each with its attempts and dead letters; give their number."""
    before, deleted = (datetime.now(UTC) - keep).isoformat(), 0
    async for page in table.query(("kind", "run"), index="runs-by-time", created_at=("0", before)):
        for item in (await table.find(keys(page))).values():
            run = run_of(item)
            if run is not None and not run.held and (run.ended_at or run.created_at) < before:
                await _forget(table, run)
                deleted += 1
    return deleted


async def _forget(table: Table, run: RunItem) -> None:
    """Delete a run's item last: what is cut short is found again."""
    for part in (await TableShards(table).parts(run)).values():
        await _forget(table, part)
    async for page in table.query(("pk", run.pk), sk=("attempt ", "letter \U0010ffff")):
        await table.delete(keys(page))
    await table.delete([(run.pk, "run")])
