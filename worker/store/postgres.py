"""Runs in PostgreSQL: who holds a run, how far it is, and the page commit that moves it on.

A run's row is its checkpoint and its lease. Whoever takes the lease draws a new fencing token; every write names the token it
was given, so an attempt that lost its lease can write nothing (Kleppmann, "How to do distributed locking").
Time is the database's own.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from worker.claim import Answer, Claim, Granted, Held, Over, Selection, divided_otherwise, nothing_to_replay
from worker.database import Link, is_away, is_refused, said, where
from worker.errors import Faults, LeaseLost, Transient
from worker.events import History, Summary
from worker.ledger import Batch, Committed, DeadLetter, Writing, corrected
from worker.runs import PENDING, RUNNING
from worker.shards import Shard
from worker.source import Bounds, JsonKey
from worker.store import shard_statements, shards
from worker.store import statements as sql
from worker.store.migrate import migrations, version
from worker.store.texts import json, storable
from worker.tally import Tally
from worker.verdict import Verdict


class PostgresStore:
    """The run store as one attempt uses it.

    A holder that was not heard of for `lease_s` may be succeeded; it is heard of about every third of it.
    """

    transactional = True

    def __init__(self, link: Link, lease_s: float = 15.0) -> None:
        self._link = link
        self.lease_s = lease_s
        self._run_id = self._whole_id = ""
        self._shard: Shard | None = None
        self._attempt = self._token = self._commits = 0
        self._prior = ""
        self._replay: int | None = None
        self._selected = Selection()
        self._uncertain = False  # a commit was begun and no answer came
        self._before = Tally()

    async def check(self) -> list[str]:
        """Find what keeps the store from being used: no schema, or rights that are missing."""
        try:
            found, known = await version(self._link), migrations()[-1].version
        except asyncpg.PostgresError as error:
            if is_refused(error):
                return [f"database {where(self._link.url)} refuses the run store: {said(error)}"]
            raise
        if found < known:
            state = "is not there" if found == 0 else f"is at version {found}, this worker needs {known}"
            return [f"the run store's schema {state} in database {where(self._link.url)}: run python -m worker migrate"]
        async with self._link.using() as connection:
            missing = ", ".join(row["missing"] for row in await connection.fetch(sql.MISSING_RIGHTS))
        return [f"database {where(self._link.url)} refuses the run store: GRANT {missing}"] if missing else []

    async def newer(self) -> str | None:
        """Say so when the database's schema is newer than this worker knows; it can be worked with all the same."""
        found, known = await version(self._link), migrations()[-1].version
        return (
            f"the run store is at version {found}, this worker knows {known}: deploy a newer image"
            if found > known
            else None
        )

    async def claim(self, claim: Claim, successor_of: Held | None = None) -> Answer:
        """Take the lease and begin an attempt, or say why not.

        `successor_of` takes it from a holder that showed no sign of life since it was seen. Raises Faults for a run key that
        was used with another scope, or for a dry run.
        """
        async with self._transaction() as connection:
            await connection.execute(sql.ONE_CLAIM_AT_A_TIME, claim.lease)
            for row in await _own_rows(connection, claim):
                if row["status"] in _OVER and not claim.restart and claim.replay is None:
                    return Over(Verdict.of(row["status"]), row["ended_at"])
            if claim.replay is not None:
                await self._check_selection(connection, claim, claim.replay)
            holder = await _holder(connection, claim)
            if holder is not None:
                held = Held(
                    holder["run_id"], holder["attempt"], (holder["token"], holder["heartbeat_at"], holder["commits"])
                )
                if successor_of is None or successor_of.sign != held.sign:
                    return held
                await connection.execute(shard_statements.DEPOSE, held.run_id, None)
                await connection.execute(shard_statements.CLOSE_DEAD, held.run_id, None)
                await connection.execute(sql.DEPOSE, held.run_id)
                await connection.execute(sql.CLOSE_DEAD, held.run_id, held.attempt, Verdict.INTERRUPTED.word)
                row = (await _own_rows(connection, claim))[-1]
            return await self._begin(connection, claim, row["status"])

    async def _check_selection(self, connection: "asyncpg.Connection[Any]", claim: Claim, selected: Selection) -> None:
        """Refuse a replay of nothing: it would say that it had succeeded."""
        if not await connection.fetch(sql.LETTERS, claim.run_id, None, selected.error, selected.key, 1, None):
            raise Faults([nothing_to_replay(claim.run_id, selected)])

    async def follow(self, run_id: str) -> Verdict | None:
        """Give the verdict with which a run came to rest; None while somebody holds it, INTERRUPTED when its holder fell silent."""
        async with self._link.using() as connection:
            row = await connection.fetchrow(sql.FOLLOW, run_id)
        if row is None or (row["status"] == RUNNING and not row["held"]):
            return Verdict.INTERRUPTED
        if row["held"]:
            return None
        return Verdict.INTERRUPTED if row["status"] == PENDING else Verdict.of(row["status"])

    async def stand_aside(self, claim: Claim, verdict: Verdict, detail: str) -> None:
        """Record that a run was not begun because another one is going on."""
        async with self._link.using() as connection:
            for run_id in dict.fromkeys((claim.run_id, claim.whole_id)):
                await connection.execute(sql.STAND_ASIDE, run_id, verdict.word, storable(detail))

    async def letters(self, after: JsonKey | None, size: int) -> Sequence[JsonKey]:
        """Give the keys of the next dead letters that the replay has selected."""
        selected, position = self._selected, None if after is None else json(after)
        async with self._link.using() as connection:
            asked = (self._whole_id, position, selected.error, selected.key, size, self._number)
            rows = await connection.fetch(sql.LETTERS, *asked)
        return [msgspec.json.decode(row["key"]) for row in rows]

    async def mend(self, keys: Sequence[JsonKey]) -> None:
        """Forget dead letters whose records are gone; an attempt that lost its lease forgets nothing."""
        async with self._link.using() as connection:
            gone = [json(key) for key in keys]
            await connection.execute(sql.GONE, self._whole_id, self._run_id, self._token, gone)

    async def heartbeat(self) -> None:
        """Renew the lease. Raises LeaseLost when it was taken."""
        beat = sql.HEARTBEAT if self._shard is None else shard_statements.HEARTBEAT
        async with self._link.using() as connection:
            if await connection.fetchval(beat, self._run_id, self._token, self.lease_s) is None:
                raise LeaseLost(f"a newer attempt holds run {self._run_id}")

    async def commit(self, batch: Batch, source: str, writing: Writing) -> Committed:
        """Commit a page: fence first, then the job's results, the dead letters, and the checkpoint.

        May be called again with the same batch after `Transient`: a commit whose answer was lost is recognised by its number.
        Raises LeaseLost when a newer attempt holds the run.
        """
        committed = await self._recognise(batch) if self._uncertain else None
        self._uncertain = True
        if committed is None:
            try:
                committed = await self._commit(batch, source, writing, careful=False)
            except Exception as error:
                if not batch.results or not self.is_refusal(error):
                    raise
                committed = await self._commit(batch, source, writing, careful=True)
        self._uncertain = False
        self._commits = committed.number
        return committed

    async def end(self, summary: Summary) -> Summary | None:
        """Close the attempt and give the lease back; a run that was taken over meanwhile is left alone.

        Of a shard that was the last to end, closes the run of all shards, too, and gives the summary of that.
        """
        verdict, detail, tally = summary.verdict, storable(summary.detail), json(summary.tally.to_json())
        async with self._transaction() as connection:
            await connection.execute(
                sql.CLOSE, self._run_id, self._attempt, verdict.word, verdict.exit_code, detail, tally, json(summary)
            )
            await connection.execute(sql.RELEASE, self._run_id, self._token, self._resting(verdict), detail)
            if self._shard is None:
                return None
            if await connection.fetchrow(shard_statements.ENDED, self._run_id, self._attempt) is None:
                return None
            return await shards.leave(connection, self._whole_id, self._shard.number)

    async def bounds(self, claim: Claim) -> Bounds | None:
        """Give where a run in shards is divided; None where nobody has claimed one of them yet."""
        async with self._link.using() as connection:
            found = await connection.fetchval(shard_statements.BOUNDS, claim.whole_id)
        return None if found is None else msgspec.json.decode(found)

    async def worked(self, connection: Any) -> bool:
        """Note, in the last page commit, that all records were worked on; tell whether that is so of the whole run."""
        return self._shard is None or await shards.all_worked(connection, self._whole_id, self._shard.number)

    async def told(self, run_id: str) -> None:
        """Note that the whole run's summary is out."""
        async with self._link.using() as connection:
            await connection.execute(shard_statements.TOLD, run_id)

    async def bury(self, run_id: str, shard: int, task_arn: str | None = None) -> Summary | None:
        """Take a shard for ended whose process is dead; give the whole run's summary where it is to be told; see `Store`."""
        async with self._transaction() as connection:
            return await shards.bury(connection, run_id, shard, task_arn)

    async def history(self, claim: Claim) -> History | None:
        """Give the median of the last ten runs of the job that succeeded with this scope."""
        async with self._link.using() as connection:
            row = await connection.fetchrow(sql.HISTORY, claim.job, claim.mode, claim.scope_hash, claim.whole_id)
        return History(**row) if row is not None and row["runs"] else None

    def is_refusal(self, error: Exception) -> bool:
        """Tell whether `write` may have failed because of one result in it: a value out of range, a constraint, a bug."""
        if isinstance(error, asyncpg.PostgresError):
            return (error.sqlstate or "").startswith(("22", "23"))
        return not is_away(error) and not isinstance(error, (LeaseLost, Transient))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """Open a transaction that the server ends when we fall silent in it: the locks of a frozen host must not outlive its lease."""
        async with self._link.using() as connection, connection.transaction():
            await connection.execute(sql.MORTAL, self._lease_ms)
            yield connection

    @property
    def _number(self) -> int | None:
        """Give the number of the shard, which its dead letters carry."""
        return self._shard.number if self._shard else None

    @property
    def _lease_ms(self) -> str:
        return f"{self.lease_s * 1000:.0f}"

    async def _begin(self, connection: "asyncpg.Connection[Any]", claim: Claim, prior: str) -> Granted:
        replays = claim.replay is not None or (prior == Verdict.COMPLETED_WITH_FAILURES.word and not claim.restart)
        lease = claim.lease if claim.shard is None else claim.run_id
        row = await connection.fetchrow(sql.TAKE, claim.run_id, lease, self.lease_s, claim.restart, replays)
        assert row is not None, "the row was locked above"
        bounds = None if claim.shard is None else await shards.join(connection, claim, self.lease_s)
        self._shard, self._whole_id = claim.shard, claim.whole_id
        if claim.restart:
            await connection.execute(sql.FORGET, claim.whole_id, self._number)
        cursor, open_keys, tally, forgiven = (
            msgspec.json.decode(row[name]) for name in ("cursor", "open_keys", "tally", "forgiven")
        )
        before = Tally.from_json(tally)
        before.read = before.finished  # what was not finished will be read again
        self._replay, self._prior = (row["replays"], prior) if replays else (None, "")
        self._selected = claim.replay or Selection()
        self._run_id, self._attempt, self._token = claim.run_id, row["attempt"], row["token"]
        self._commits, self._before = row["commits"], before
        told = (claim.task_arn, claim.host, claim.version, row["tally"], self._replay, self._prior or None)
        await connection.execute(sql.ATTEMPT, claim.run_id, self._attempt, self._token, *told)
        if replays:
            cursor, open_keys = None, []
        whole = not replays or prior in _COMPLETE
        spent = Tally.from_json(forgiven)
        return Granted(self._attempt, row["source"], cursor, open_keys, before, spent, self._replay, whole, bounds)

    def _resting(self, verdict: Verdict) -> str:
        """Give the run's status after this end: a replay changes it only if the run itself had been completed."""
        completed = self._prior and Verdict.of(self._prior).complete
        return self._prior if self._prior and not (completed and verdict.complete) else verdict.word

    def _total(self, attempt: Tally) -> Tally:
        """Give the run's counts, from the attempt's."""
        return self._before.plus(attempt) if self._replay is None else self._before.after_replay(attempt)

    async def _commit(self, batch: Batch, source: str, writing: Writing, *, careful: bool) -> Committed:
        async with self._link.using() as connection, connection.transaction():
            number = await connection.fetchval(sql.FENCE, self._run_id, self._token, self.lease_s, self._lease_ms)
            if number is None:
                raise LeaseLost(f"a newer attempt holds run {self._run_id}; this page is not committed")
            wrote = await writing(batch.results, connection, careful)
            committed = Committed(number, wrote.changed, tuple(wrote.refused))
            if batch.mended:
                await connection.execute(sql.MENDED, self._whole_id, [json(key) for key in batch.mended])
            if letters := [*batch.dead_letters, *wrote.refused]:
                await connection.execute(sql.DEAD_LETTERS, self._whole_id, *_columns(letters), self._number)
            tally = json(self._total(corrected(batch.tally, committed)).to_json())
            if self._replay is not None:  # where the run itself is to go on is not its business
                await connection.execute(sql.TALLY, self._run_id, tally)
            else:
                await connection.execute(
                    sql.CHECKPOINT, self._run_id, source, json(batch.cursor), json(batch.open_keys), tally
                )
        return committed

    async def _recognise(self, batch: Batch) -> Committed | None:
        """Tell whether the commit whose answer was lost got through, from its number; what it left out, from its tally.

        The server may still be at it: its lock on the row is waited for.
        """
        async with self._link.using() as connection:
            row = await connection.fetchrow(sql.COMMITS, self._run_id, self._token)
        if row is None:
            raise LeaseLost(f"a newer attempt holds run {self._run_id}")
        if row["commits"] != self._commits + 1:
            return None
        saved, hoped = Tally.from_json(msgspec.json.decode(row["tally"])), self._total(batch.tally)
        refused = saved.failed - hoped.failed
        return Committed(row["commits"], hoped.done - saved.done - refused, lost_refusals=refused)


_OVER = {verdict.word for verdict in Verdict if verdict.finished}
_COMPLETE = {verdict.word for verdict in Verdict if verdict.complete}


async def _own_rows(connection: "asyncpg.Connection[Any]", claim: Claim) -> list[Any]:
    """Find or make the row of the claimed run, and lock it; of a shard, give its run's first, and lock its own."""
    of, named = claim.shard and claim.shard.of, (claim.whole_id, claim.job, claim.run_key)
    every = list(range(1, of + 1)) if of else None
    await connection.execute(sql.INSERT, *named, json(claim.scope), claim.scope_hash, claim.mode, of, every)
    if claim.shard is None:
        return [_checked(await connection.fetchrow(sql.OWN_ROW, claim.run_id), claim)]
    whole = _checked(await connection.fetchrow(shard_statements.WHOLE, claim.whole_id), claim)
    await connection.execute(shard_statements.INSERT, claim.run_id, claim.whole_id, claim.shard.number)
    return [whole, await connection.fetchrow(sql.OWN_ROW, claim.run_id)]


async def _holder(connection: "asyncpg.Connection[Any]", claim: Claim) -> Any:
    """Find who keeps the claim from being granted: of a shard, its run's other shards do not."""
    holder = await connection.fetchrow(sql.HOLDER, claim.lease)
    if claim.shard is None or holder is None or holder["run_id"] != claim.whole_id or holder["token"] is not None:
        return holder
    return await connection.fetchrow(sql.HOLDER, claim.run_id)


def _checked(row: Any, claim: Claim) -> Any:
    """Give the row of a run. Raises Faults where it is not the one that is claimed."""
    assert row is not None, "it was inserted by this claim or before"
    if row["scope_hash"] != claim.scope_hash:
        raise Faults(
            [f"run key {claim.run_key!r} was used with another scope: {row['scope']}; use another key, or that scope"]
        )
    if row["mode"] != claim.mode:
        raise Faults([f"run key {claim.run_key!r} belongs to a {row['mode']}: say so again, or use another key"])
    if row["shards"] != (claim.shard and claim.shard.of) and claim.replay is None:
        raise divided_otherwise(claim.run_key, row["shards"])
    return row


def _columns(letters: list[DeadLetter]) -> list[list[Any]]:
    return [
        [json(letter.key) for letter in letters],
        [storable(letter.type) for letter in letters],
        [storable(letter.message) for letter in letters],
        [letter.tries for letter in letters],
        [letter.first_at for letter in letters],
        [letter.last_at for letter in letters],
    ]
