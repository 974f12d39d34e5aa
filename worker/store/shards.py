"""Shards in PostgreSQL: how one joins the run that it is part of, leaves it, and closes it where it was the last to end."""

from typing import TYPE_CHECKING, Any

import msgspec

from worker.claim import Claim, shard_id
from worker.events import Summary
from worker.shards import Rested, Whole, closed, sum_of
from worker.source import Bounds
from worker.store import shard_statements as sql
from worker.store import statements
from worker.store.texts import json, storable
from worker.tally import Tally

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[Any]


async def join(connection: "Connection", claim: Claim, lease_s: float) -> Bounds:
    """Count a shard as open, renew the job's lease for its run, and give where that is divided."""
    assert claim.shard is not None, "a shard joins"
    whole_id = claim.whole_id
    bounds = json([] if claim.bounds is None else claim.bounds)
    row = await connection.fetchrow(sql.JOIN, whole_id, claim.lease, lease_s, claim.shard.number, bounds)
    assert row is not None, "it was inserted by this claim or before"
    await connection.execute(sql.JOINED, whole_id, row["attempt"], claim.host, claim.version, row["tally"])
    found: Bounds = msgspec.json.decode(row["bounds"])
    return found


async def all_worked(connection: "Connection", whole_id: str, number: int) -> bool:
    """Note that all records of a shard were worked on; tell whether it is the last. Others wait until this is committed."""
    await connection.execute(sql.WORKED, shard_id(whole_id, number))
    shards = await connection.fetchval(sql.LOCK, whole_id)
    return bool(await connection.fetchval(sql.HOW_MANY_WORKED, whole_id) == shards)


async def leave(connection: "Connection", whole_id: str, number: int) -> Summary | None:
    """Take a shard that has ended out of the open ones; close the run where it was the last. Again does no harm."""
    if await connection.fetchval(sql.LEAVE, whole_id, number) != number:
        return None
    row = await connection.fetchrow(sql.TO_CLOSE, whole_id)
    assert row is not None, "it was joined"
    decode = msgspec.json.decode
    whole = Whole(
        **{name: row[name] for name in ("job", "run_key", "mode", "attempt", "started_at")},
        scope=decode(row["scope"]),
        before=Tally.from_json(decode(row["before"])),
        tally=Tally.from_json(decode(row["tally"])),
        summed=Tally.from_json(decode(row["summed"])),
    )
    parts = [_rested(part) for part in await connection.fetch(sql.PARTS, whole_id)]
    summary = closed(whole, parts)
    verdict, detail = summary.verdict, storable(summary.detail)
    tally, summed = (json(each.to_json()) for each in (summary.run_tally, sum_of(part.tally for part in parts)))
    await connection.execute(sql.CLOSE, whole_id, verdict.word, detail, tally, summed)
    own = json(summary.tally.to_json())
    end = (verdict.word, verdict.exit_code, detail, own, json(summary))
    await connection.execute(statements.CLOSE, whole_id, whole.attempt, *end)
    return summary


async def bury(connection: "Connection", whole_id: str, number: int, task_arn: str | None) -> Summary | None:
    """Take a shard for ended whose process is dead; see `Store`."""
    if task_arn is not None and await connection.fetchrow(sql.OTHERS_TASK, whole_id, number, task_arn) is not None:
        return None  # another one has taken over since
    await connection.execute(sql.DEPOSE, whole_id, number)
    await connection.execute(sql.CLOSE_DEAD, whole_id, number)
    return await leave(connection, whole_id, number)


def _rested(row: Any) -> Rested:
    decode = msgspec.json.decode
    return Rested(
        number=row["number"],
        status=row["status"],
        detail=row["detail"],
        tally=Tally.from_json(decode(row["tally"])),
        summary=decode(row["summary"]),
    )
