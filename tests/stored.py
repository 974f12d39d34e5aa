"""What tests of the run store share: claims, batches, and a job's table that a page commit writes into."""

from collections.abc import Sequence
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

import asyncpg

from worker.claim import Claim, Granted
from worker.database import Link
from worker.job import Result
from worker.ledger import Batch, DeadLetter
from worker.store.postgres import PostgresStore
from worker.tally import Tally
from worker.writing import Writer

AT = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)


def a_claim(run_key: str = "2026-11-22", **changes: Any) -> Claim:
    """Give the claim of a run of poll-payments."""
    return Claim(**{"job": "poll-payments", "run_key": run_key, "lease": "poll-payments", **changes})


async def granted(store: PostgresStore, claim: Claim | None = None) -> Granted:
    """Claim a run that nobody stands in the way of."""
    answer = await store.claim(claim or a_claim())
    assert isinstance(answer, Granted)
    return answer


def a_letter(key: Any, **changes: Any) -> DeadLetter:
    """Give the dead letter of a record."""
    whole = {"key": [key], "type": "Refused", "message": "no", "tries": 1, "first_at": AT, "last_at": AT}
    return DeadLetter(**{**whole, **changes})


def a_batch(values: dict[int, Any], *letters: DeadLetter, cursor: int = 0, before: Tally | None = None) -> Batch:
    """Give a batch of results by key, and the tally of an attempt that had finished `before`."""
    results = [Result({"id": number}, value) for number, value in values.items()]
    count = Tally(read=len(results) + len(letters), done=len(results), failed=len(letters))
    return Batch(results, list(letters), [cursor or max(values, default=0)], [], (before or Tally()).plus(count))


class Payments:
    """A table, written by a compare-and-set like a job's; a trigger counts how often each row was written."""

    TABLE = """
        CREATE TABLE payments (id bigint PRIMARY KEY, status text CHECK (status <> 'bad'), amount smallint, written int DEFAULT 0);
        INSERT INTO payments SELECT n, 'old', 0 FROM generate_series(1, 100) AS n;
        CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN NEW.written := OLD.written + 1; RETURN NEW; END';
        CREATE TRIGGER written BEFORE UPDATE ON payments FOR EACH ROW EXECUTE FUNCTION count_write()"""

    UPDATE = """
        UPDATE payments p SET status = answer.status FROM unnest($1::bigint[], $2::text[]) AS answer (id, status)
        WHERE p.id = answer.id AND p.status = 'old' RETURNING p.id"""

    def __init__(self, link: Link, store: PostgresStore) -> None:
        self._link, self.store = link, store
        self.writes = 0
        """How often `write` was called."""
        self.writer = Writer(self.write, self.letter, store.is_refusal)

    async def create(self) -> None:
        """Make the table, with a hundred old payments."""
        async with self._link.using() as connection:
            await connection.execute(self.TABLE)

    async def write(self, results: Sequence[Result], connection: "asyncpg.Connection[Any]") -> list[Any]:
        """Write results, as jobs do; a value that is no text breaks it."""
        self.writes += 1
        statuses = [result.value.lower() for result in results]
        return await connection.fetch(self.UPDATE, [result.record["id"] for result in results], statuses)

    def letter(self, result: Result, error: Exception) -> DeadLetter:
        """Make the dead letter of a result that was refused."""
        return a_letter(result.record["id"], type=type(error).__name__, message=str(error))

    async def written(self) -> dict[int, tuple[str, int]]:
        """Give what was written, by key, and how often."""
        rows = await rows_of(self._link, "SELECT id, status, written FROM payments WHERE written > 0 ORDER BY id")
        return {row["id"]: (row["status"], row["written"]) for row in rows}


async def rows_of(link: Link, sql: str, *arguments: Any) -> list[Any]:
    """Ask the database."""
    async with link.using() as connection:
        return await connection.fetch(sql, *arguments)


async def row_of(link: Link, sql: str, *arguments: Any) -> Any:
    """Ask the database for one row."""
    [row] = await rows_of(link, sql, *arguments)
    return row


async def do(link: Link, sql: str) -> None:
    """Have the database do something that gives no row."""
    async with link.using() as connection:
        await connection.execute(sql)


async def as_modest(connection: "asyncpg.Connection[Any]", url: str) -> str:
    """Give the URL for a new role that has no rights but to connect."""
    role = f"modest_{token_hex(8)}"
    await connection.execute(f"CREATE ROLE {role} LOGIN")
    return url.replace("postgres@", f"{role}@")
