"""Read the run store: a run with its attempts, the holder of a lease, the latest runs."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import chain
from typing import Any

import asyncpg
import msgspec

from worker.database import Link, is_refused, said, where
from worker.errors import Faults
from worker.runs import PENDING, RUNNING, WHOLE, AttemptView, LetterView, Place, RunPage, RunView, own_tallies
from worker.shards import total
from worker.store.texts import json
from worker.tally import Tally
from worker.verdict import Verdict

_NOT_MADE = ("3F000", "42P01", "42703")
"""SQLSTATEs of a schema, table or column that is not there: no migration, or an older one."""


class RunReader:
    """Answer questions about runs; it changes nothing."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """Lend the connection; raises Faults where the schema is not there, or may not be read."""
        async with self._link.using() as connection:
            try:
                yield connection
            except asyncpg.PostgresError as error:
                if error.sqlstate in _NOT_MADE:
                    raise Faults(
                        [f"the run store's schema is not there: run python -m worker migrate ({said(error)})"]
                    ) from error
                if is_refused(error):
                    raise Faults([f"database {where(self._link.url)} refuses the run store: {said(error)}"]) from error
                raise

    async def find(self, run_id: str) -> RunView | None:
        """Give a run with all its attempts; None where there is none of that name."""
        async with self._asking() as connection:
            row = await connection.fetchrow(f"{_RUNS} WHERE r.run_id = $1", run_id)
            attempts = await connection.fetch(_ATTEMPTS, run_id) if row else []
            parts = await connection.fetch(f"{_RUNS} WHERE r.parent = $1 ORDER BY r.shard", run_id) if row else []
        if row is None:
            return None
        return _run(row, _attempts(attempts, _tally(row)), tuple(map(_run, parts)))

    async def scope_hash(self, run_id: str) -> str | None:
        """Give what tells a run's scope from another, secret fields included: nothing to be shown."""
        async with self._asking() as connection:
            found: str | None = await connection.fetchval(_SCOPE_HASH, run_id)
        return found

    async def holder(self, lease: str) -> RunView | None:
        """Give the run that holds this lease now: what `lease_of` names."""
        async with self._asking() as connection:
            row = await connection.fetchrow(f"{_RUNS} WHERE r.lease = $1 AND r.lease_until > now()", lease)
        return _run(row) if row else None

    async def latest(self, job: str | None, limit: int) -> list[RunView]:
        """Give the latest runs, of one job or of all, newest first."""
        return (await self.page(job, None, None, limit)).runs

    async def page(self, job: str | None, status: str | None, before: Place | None, limit: int) -> RunPage:
        """Give the next runs before a place (None: the latest), of one job or of all, in one status or in any."""
        # One status a query, and each condition only where it is asked for: so an index has the rows in their order, however many there are.
        queries = [_page(job, stored, status, before, limit) for stored in _stored(status)]
        async with self._asking() as connection:
            # Prepared anew: a plan kept for any status reads past all runs for those in a rare one.
            found = [await (await connection.prepare(query)).fetch(*arguments) for query, arguments in queries]
        rows = sorted(chain(*found), key=lambda row: row["created_at"], reverse=True)[:limit]
        runs = [_run(row) for row in rows]
        return RunPage(runs, Place(runs[-1].created_at, runs[-1].run_id) if len(runs) == limit else None)

    async def latest_unfinished(self, job: str) -> RunView | None:
        """Give the job's latest run that was begun and has not succeeded; whether somebody works on it shows when it is claimed."""
        async with self._asking() as connection:
            row = await connection.fetchrow(f"{_RUNS} {_UNFINISHED}", job)
        return _run(row) if row else None

    async def by_task(self, job: str, task_arn: str) -> RunView | None:
        """Give the job's run whose last attempt is that task's, with all its attempts; among the latest hundred."""
        async with self._asking() as connection:
            run_id = await connection.fetchval(_BY_TASK, job, task_arn)
        return await self.find(run_id) if run_id else None

    async def succeeded(self, job: str, since: datetime) -> RunView | None:
        """Give the run of the whole job that succeeded last, of those that were begun since then."""
        async with self._asking() as connection:
            row = await connection.fetchrow(f"{_RUNS} {_SUCCEEDED}", job, WHOLE, since)
        return _run(row) if row else None

    async def dead_letters(self, run_id: str, limit: int, after: list[Any] | None = None) -> list[LetterView]:
        """Give a run's failed records in the order of their keys, those behind a key."""
        behind = None if after is None else json(after)
        async with self._asking() as connection:
            rows = await connection.fetch(_LETTERS, run_id, limit, behind)
        return [LetterView(**{**dict(row), "key": msgspec.json.decode(row["key"])}) for row in rows]


_RUNS = """
SELECT r.run_id, r.job, r.run_key, r.scope::text AS scope, r.mode, r.attempt,
    -- A killed attempt cannot say that it ended: its lease does.
    CASE WHEN r.lease_until < now() THEN 'interrupted' ELSE r.status END AS status,
    CASE WHEN r.lease_until < now() THEN 'killed' ELSE r.detail END AS detail, r.tally::text AS tally,
    r.shards, r.summed::text AS summed,
    (SELECT coalesce(jsonb_agg(p.tally), '[]')::text FROM worker.runs p WHERE p.parent = r.run_id) AS parts,
    coalesce(r.cursor, 'null')::text AS cursor, r.source, r.created_at, r.ended_at, r.heartbeat_at, a.exit_code,
    coalesce(a.summary, 'null')::text AS summary,
    -- Nor how long it worked: until it was heard of last.
    (SELECT sum(extract(epoch FROM greatest(coalesce(d.ended_at, CASE WHEN r.lease_until < now() THEN r.heartbeat_at ELSE now() END)
     - d.started_at, interval '0')))::float FROM worker.attempts d WHERE d.run_id = r.run_id) AS duration_s
FROM worker.runs r LEFT JOIN worker.attempts a ON a.run_id = r.run_id AND a.number = r.attempt"""

_SCOPE_HASH = "SELECT scope_hash FROM worker.runs WHERE run_id = $1"

# The first part is what the index by status has, the second how it is shown.
_IN_STATUS = "r.status = {} AND CASE WHEN r.lease_until < now() THEN 'interrupted' ELSE r.status END = {}"

_UNFINISHED = """
WHERE r.parent IS NULL AND r.job = $1 AND r.mode = 'run' AND r.status <> 'succeeded' AND r.attempt > 0
ORDER BY r.created_at DESC LIMIT 1"""

_BY_TASK = """
SELECT r.run_id FROM (SELECT run_id, attempt FROM worker.runs WHERE job = $1 ORDER BY created_at DESC LIMIT 100) AS r
JOIN worker.attempts a ON a.run_id = r.run_id AND a.number = r.attempt WHERE a.task_arn = $2"""

_SUCCEEDED = """
WHERE r.parent IS NULL AND r.job = $1 AND r.mode = 'run' AND r.scope_hash = $2 AND r.status = 'succeeded' AND r.created_at >= $3
ORDER BY r.ended_at DESC LIMIT 1"""

_LETTERS = """
SELECT d.key::text AS key, type, message, tries, first_at, last_at FROM worker.runs r
JOIN worker.dead_letters d ON d.run_id = coalesce(r.parent, r.run_id) AND (r.shard IS NULL OR d.shard = r.shard)
WHERE r.run_id = $1 AND ($3::text IS NULL OR d.key > $3::text::jsonb) ORDER BY d.key LIMIT $2"""

_ATTEMPTS = """
SELECT number, started_at, ended_at, verdict, exit_code, detail, task_arn, host, replay, tally::text AS tally, before::text AS before
FROM worker.attempts WHERE run_id = $1 ORDER BY number"""


def _page(
    job: str | None, stored: str | None, shown: str | None, before: Place | None, limit: int
) -> tuple[str, list[Any]]:
    """Write the query of a page, and its arguments."""
    conditions = ["r.parent IS NULL"]
    arguments: list[Any] = [limit]
    for condition, values in (
        ("r.job = {}", job and [job]),
        (_IN_STATUS, stored and [stored, shown]),
        ("(r.created_at, r.run_id) < ({}, {})", before),
    ):
        if values:
            numbers = range(len(arguments) + 1, len(arguments) + 1 + len(values))
            conditions.append(condition.format(*(f"${number}" for number in numbers)))
            arguments += values
    query = f"{_RUNS} WHERE {' AND '.join(conditions)} ORDER BY r.created_at DESC, r.run_id DESC LIMIT $1"
    return query, arguments


def _stored(status: str | None) -> list[str | None]:
    """Give what a shown status may be in the table: a killed run is not told that it was interrupted."""
    return [status, RUNNING] if status == Verdict.INTERRUPTED.word else [status]


def _tally(row: Any) -> dict[str, Any]:
    """Give a run's counts; of one in shards, with what those have counted so far."""
    decode = msgspec.json.decode
    tally: dict[str, Any] = decode(row["tally"])
    if row["shards"] is None:
        return tally
    summed, parts = Tally.from_json(decode(row["summed"])), map(Tally.from_json, decode(row["parts"]))
    return total(Tally.from_json(tally), summed, parts).to_json()


def _run(row: Any, attempts: tuple[AttemptView, ...] = (), parts: tuple[RunView, ...] = ()) -> RunView:
    decode = msgspec.json.decode
    status = row["status"]
    return RunView(
        run_id=row["run_id"],
        job=row["job"],
        run_key=row["run_key"],
        scope=decode(row["scope"]),
        dry_run=row["mode"] == "dry-run",
        status=status,
        attempt=row["attempt"],
        tally=_tally(row),
        cursor=decode(row["cursor"]),
        source=row["source"],
        created_at=row["created_at"],
        heartbeat_at=row["heartbeat_at"],
        ended_at=row["ended_at"],
        exit_code=None if status in (PENDING, RUNNING) else Verdict.of(status).exit_code,
        detail=row["detail"],
        summary=None if status == RUNNING else decode(row["summary"]),
        duration_s=row["duration_s"],
        attempts=attempts,
        shards=row["shards"],
        parts=parts,
    )


def _attempts(rows: Sequence[Any], run_tally: dict[str, Any]) -> tuple[AttemptView, ...]:
    decode = msgspec.json.decode
    tallies = own_tallies([(decode(row["before"]), decode(row["tally"])) for row in rows], run_tally)
    return tuple(
        AttemptView(**{**{name: row[name] for name in dict(row) if name != "before"}, "tally": tally})
        for row, tally in zip(rows, tallies, strict=True)
    )
