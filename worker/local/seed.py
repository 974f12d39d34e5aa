"""Fill a database with what a job can work on."""

from worker.errors import Faults


async def seed(database_url: str, sql: str, records: int) -> None:
    """Run a job's seed in one transaction; it reads its size from `current_setting('seed.records')`.

    Raises Faults where the SQL fails. Only for a database that is ours to fill: one that --local started.
    """
    import asyncpg

    connection = await asyncpg.connect(database_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('seed.records', $1, true)", str(records))
            await connection.execute(sql)
    except asyncpg.PostgresError as error:
        raise Faults([f"the seed failed for {records:,} records: {error}"]) from error
    finally:
        await connection.close()
