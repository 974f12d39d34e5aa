"""What is read of runs: a killed one is not told as one that goes on."""

from worker.claim import Claim, Granted
from worker.cli.database import migrated
from worker.database import Link
from worker.store.postgres import PostgresStore
from worker.store.reading import RunReader


async def test_run_reader_tells_a_killed_run_by_its_lease(database_url: str) -> None:
    """While the lease lasts the run is running and holds the job; afterwards it was killed, and can be gone on with."""
    await migrated(database_url)
    claim = Claim(job="poll-payments", run_key="k", lease="poll-payments")
    async with Link(database_url, "test") as link:
        reader = RunReader(link)
        assert isinstance(await PostgresStore(link).claim(claim), Granted)
        holder = await reader.holder("poll-payments")
        assert holder is not None
        assert (holder.run_id, holder.status, holder.live) == (claim.run_id, "running", True)
        async with link.using() as connection:
            await connection.execute("UPDATE worker.runs SET lease_until = now() - interval '1 s'")
        found = await reader.find(claim.run_id)
        assert found is not None
        assert (found.status, found.exit_code, found.detail, found.live) == ("interrupted", 75, "killed", False)
        assert await reader.holder("poll-payments") is None
