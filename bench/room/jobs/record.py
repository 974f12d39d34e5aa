"""Write a value back for every row, in the page commit."""

from worker import (
    VALUE,
    Connection,
    Job,
    Limits,
    Outcome,
    Rate,
    Record,
    Results,
    Run,
    Scope,
    Source,
    columns,
    done,
    minutes,
    postgres,
)


class Rows(Scope):
    """How many of them."""

    rows: int


class RecordAll(Job[Rows]):
    """What is left is the engine and the page commit."""

    timeout = minutes(10)
    limits = Limits(concurrency=64, rate=Rate(2_000_000), page_size=1_000, max_age=30)

    ROWS = "SELECT id, status FROM results WHERE id <= $1"

    RECORD = """
        UPDATE results SET status = answer.status
        FROM unnest($1::bigint[], $2::text[]) AS answer (id, status) WHERE results.id = answer.id"""

    def source(self, run: Run[Rows]) -> Source:
        return postgres.query(self.ROWS, run.scope.rows, key="id")

    async def process(self, record: Record, run: Run[Rows]) -> Outcome:
        return done("done")

    async def write(self, results: Results, connection: Connection) -> None:
        await connection.execute(self.RECORD, *columns(results, "id", VALUE))
