"""Move crates: work on each that is waiting, and record what became of it."""

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
    Written,
    columns,
    done,
    minutes,
    postgres,
    skipped,
)


class Crates(Scope):
    """Which of them: all, or those of one region."""

    region: str | None = None


class MoveCrates(Job[Crates]):
    """At most 500 a second, so that whoever else works on them has room."""

    timeout = minutes(10)
    limits = Limits(concurrency=32, rate=Rate(500), page_size=500, record_timeout=10)

    WAITING = """
        SELECT id, name, status FROM crates
        WHERE status = 'waiting' AND ($1::text IS NULL OR region = $1)"""

    RECORD = """
        UPDATE crates SET status = answer.status, updated_at = now()
        FROM unnest($1::bigint[], $2::text[], $3::text[]) AS answer (id, was, status)
        WHERE crates.id = answer.id AND crates.status = answer.was
        RETURNING crates.id"""

    def source(self, run: Run[Crates]) -> Source:
        return postgres.query(self.WAITING, run.scope.region, key="id")

    async def process(self, crate: Record, run: Run[Crates]) -> Outcome:
        if not crate["name"]:
            return skipped("no name")
        return done("ready")

    async def write(self, results: Results, connection: Connection) -> Written:
        rows: Written = await connection.fetch(self.RECORD, *columns(results, "id", "status", VALUE))
        return rows
