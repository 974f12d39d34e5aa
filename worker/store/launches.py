"""Launches in PostgreSQL: one reservation at a time, in the transaction that looks whether there is room."""

from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from worker.database import Link
from worker.launches import FAILED, OVER, PLACED, Asked, Facts, Launch, Reservation, Reserved, decide
from worker.store import statements as sql

_MORTAL_MS = "5000"


class PostgresLaunches:
    """The launches of the run store; see `Launches`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def reserve(self, asked: Asked) -> Reservation:
        """Keep room for a launch, or say why not."""
        async with self._link.using() as connection, connection.transaction():
            await connection.execute(
                sql.MORTAL, _MORTAL_MS
            )  # a launcher that freezes in here must not hold up all others
            await connection.execute(_ONE_AT_A_TIME)
            answer = decide(asked, await _facts(connection, asked))
            if isinstance(answer, Reserved):
                await connection.execute(_RESERVE, *_row(answer.launch))
            return answer

    async def placed(self, launch: Launch, task_arn: str) -> None:
        """Note the task that carries a launch; one that has stopped by now is left so."""
        await self._change(launch.id, PLACED, "", task_arn, unless=(OVER,))

    async def failed(self, launch: Launch, reason: str) -> None:
        """Give back the room of a launch that no task carries."""
        await self._change(launch.id, FAILED, reason, None, unless=(PLACED, OVER))

    async def released(self, id: str, reason: str, task_arn: str | None = None) -> Launch | None:  # noqa: A002 - its name
        """Give back the room of a launch whose task has stopped."""
        await self._change(id, OVER, reason, task_arn, unless=(OVER,))
        async with self._link.using() as connection:
            row = await connection.fetchrow(f"{_LAUNCHES} WHERE id = $1", id)
        return _launch(row) if row else None

    async def live(self) -> Sequence[Launch]:
        """Give the launches that take room, oldest first."""
        async with self._link.using() as connection:
            return await _live(connection)

    async def _change(self, id: str, state: str, reason: str, task_arn: str | None, unless: Sequence[str]) -> None:  # noqa: A002
        async with self._link.using() as connection:
            await connection.execute(_CHANGE, id, state, reason.replace("\0", "�"), task_arn, list(unless))


async def _facts(connection: "asyncpg.Connection[Any]", asked: Asked) -> Facts:
    run = await connection.fetchrow(_RUN, asked.row)
    last = await connection.fetchrow(_LAST, asked.run_id, asked.shard)
    return Facts(
        now=await connection.fetchval("SELECT clock_timestamp()"),
        last=_launch(last) if last else None,
        status=run["status"] if run else None,
        scope_hash=run["scope_hash"] if run else None,
        live=await _live(connection),
    )


async def _live(connection: "asyncpg.Connection[Any]") -> Sequence[Launch]:
    return [_launch(row) for row in await connection.fetch(_LIVE)]


def _launch(row: Mapping[str, Any]) -> Launch:
    return Launch(**{**dict(row), "request": msgspec.json.decode(row["request"])})


def _row(launch: Launch) -> Sequence[Any]:
    told = (launch.job, launch.lease, launch.scope_hash, launch.dry_run, msgspec.json.encode(launch.request).decode())
    return (launch.id, launch.run_id, launch.shard, launch.number, *told, launch.restarts, launch.reserved_at)


_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('worker launches', 0))"

_LAUNCHES = """
SELECT run_id, shard, number, job, lease, scope_hash, dry_run, request::text AS request, restarts, state, task_arn, reason,
    reserved_at
FROM worker.launches"""

_LAST = f"{_LAUNCHES} WHERE run_id = $1 AND shard = $2 ORDER BY number DESC LIMIT 1"

_LIVE = f"{_LAUNCHES} WHERE state IN ('reserved', 'placed') ORDER BY reserved_at"

# A run that nobody has begun yet has a status only where its attempt stood aside.
_RUN = """
SELECT CASE WHEN attempt = 0 AND status = 'pending' THEN NULL ELSE status END AS status, scope_hash
FROM worker.runs WHERE run_id = $1"""

_RESERVE = """
INSERT INTO worker.launches
    (id, run_id, shard, number, job, lease, scope_hash, dry_run, request, restarts, reserved_at, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, $11, 'reserved')
ON CONFLICT (id) DO UPDATE SET reserved_at = excluded.reserved_at, request = excluded.request"""

_CHANGE = """
UPDATE worker.launches SET state = $2, reason = $3, task_arn = coalesce($4, task_arn),
    ended_at = CASE WHEN $2 IN ('failed', 'over') THEN now() END
WHERE id = $1 AND state <> ALL ($5)"""
