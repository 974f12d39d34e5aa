"""Runs in PostgreSQL: who holds a run, how far it is, and the page commit that moves it on.

A run's row is its checkpoint and its lease. Whoever takes the lease draws a new fencing token; every write names the token it
was given, so an attempt that lost its lease can write nothing (Kleppmann, "How to do distributed locking").
Time is the database's own.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec

from worker.claim import Answer, Claim, Granted, Held, Over
from worker.database import Link, is_away, is_refused, said, where
from worker.errors import Faults, LeaseLost, Transient
from worker.events import History, Summary
from worker.ledger import Batch, Committed, DeadLetter, Writing, corrected
from worker.store.migrate import migrations, version
from worker.tally import Tally
from worker.verdict import Verdict


class PostgresStore:
    """The run store as one attempt uses it.

    A holder that was not heard of for `lease_s` may be succeeded; it is heard of about every third of it.
    """

    def __init__(self, link: Link, lease_s: float = 15.0) -> None:
        self._link = link
        self.lease_s = lease_s
        self._run_id = ""
        self._attempt = self._token = self._commits = 0
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
            missing = ", ".join(row["missing"] for row in await connection.fetch(_MISSING_RIGHTS))
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
        was used with another scope.
        """
        async with self._transaction() as connection:
            await connection.execute(_ONE_CLAIM_AT_A_TIME, claim.lease)
            row = await _own_row(connection, claim)
            if row["status"] in _OVER and not claim.restart:
                return Over(Verdict.of(row["status"]), row["ended_at"])
            holder = await connection.fetchrow(_HOLDER, claim.lease)
            if holder is not None:
                held = Held(
                    holder["run_id"], holder["attempt"], (holder["token"], holder["heartbeat_at"], holder["commits"])
                )
                if successor_of is None or successor_of.sign != held.sign:
                    return held
                await connection.execute(_DEPOSE, held.run_id)
                await connection.execute(_CLOSE_DEAD, held.run_id, held.attempt, Verdict.INTERRUPTED.word)
            return await self._begin(connection, claim)

    async def heartbeat(self) -> None:
        """Renew the lease. Raises LeaseLost when it was taken."""
        async with self._link.using() as connection:
            if await connection.fetchval(_HEARTBEAT, self._run_id, self._token, self.lease_s) is None:
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

    async def end(self, summary: Summary) -> None:
        """Close the attempt and give the lease back; a run that was taken over meanwhile is left alone."""
        verdict, detail, tally = summary.verdict, _text(summary.detail), _json(summary.tally.to_json())
        async with self._transaction() as connection:
            await connection.execute(
                _CLOSE, self._run_id, self._attempt, verdict.word, verdict.exit_code, detail, tally, _json(summary)
            )
            await connection.execute(_RELEASE, self._run_id, self._token, verdict.word, detail)

    async def history(self, claim: Claim) -> History | None:
        """Give the median of the last ten runs of the job that succeeded with this scope."""
        async with self._link.using() as connection:
            row = await connection.fetchrow(_HISTORY, claim.job, claim.mode, claim.scope_hash, claim.run_id)
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
            await connection.execute(_MORTAL, f"{self.lease_s * 1000:.0f}")
            yield connection

    async def _begin(self, connection: "asyncpg.Connection[Any]", claim: Claim) -> Granted:
        row = await connection.fetchrow(_TAKE, claim.run_id, claim.lease, self.lease_s, claim.restart)
        assert row is not None, "the row was locked above"
        if claim.restart:
            await connection.execute("DELETE FROM worker.dead_letters WHERE run_id = $1", claim.run_id)
        before = Tally.from_json(msgspec.json.decode(row["tally"]))
        before.read = before.finished  # what was not finished will be read again
        await connection.execute(
            _ATTEMPT,
            claim.run_id,
            row["attempt"],
            row["token"],
            claim.task_arn,
            claim.host,
            claim.version,
            row["tally"],
        )
        self._run_id, self._attempt, self._token = claim.run_id, row["attempt"], row["token"]
        self._commits, self._before = row["commits"], before
        cursor, open_keys = (msgspec.json.decode(row[name]) for name in ("cursor", "open_keys"))
        return Granted(self._attempt, row["source"], cursor, open_keys, before)

    async def _commit(self, batch: Batch, source: str, writing: Writing, *, careful: bool) -> Committed:
        async with self._transaction() as connection:
            number = await connection.fetchval(_FENCE, self._run_id, self._token, self.lease_s)
            if number is None:
                raise LeaseLost(f"a newer attempt holds run {self._run_id}; this page is not committed")
            wrote = await writing(batch.results, connection, careful)
            committed = Committed(number, wrote.changed, tuple(wrote.refused))
            if letters := [*batch.dead_letters, *wrote.refused]:
                await connection.execute(_DEAD_LETTERS, self._run_id, *_columns(letters))
            tally = self._before.plus(corrected(batch.tally, committed))
            await connection.execute(
                _CHECKPOINT, self._run_id, source, _json(batch.cursor), _json(batch.open_keys), _json(tally.to_json())
            )
        return committed

    async def _recognise(self, batch: Batch) -> Committed | None:
        """Tell whether the commit whose answer was lost got through, from its number; what it left out, from its tally.

        The server may still be at it: its lock on the row is waited for.
        """
        async with self._link.using() as connection:
            row = await connection.fetchrow(_COMMITS, self._run_id, self._token)
        if row is None:
            raise LeaseLost(f"a newer attempt holds run {self._run_id}")
        if row["commits"] != self._commits + 1:
            return None
        saved, hoped = Tally.from_json(msgspec.json.decode(row["tally"])), self._before.plus(batch.tally)
        refused = saved.failed - hoped.failed
        return Committed(row["commits"], hoped.done - saved.done - refused, lost_refusals=refused)


_OVER = {verdict.word for verdict in Verdict if verdict.finished}


async def _own_row(connection: "asyncpg.Connection[Any]", claim: Claim) -> Any:
    """Find or make the row of the claimed run, and lock it."""
    await connection.execute(
        _INSERT, claim.run_id, claim.job, claim.run_key, _json(claim.scope), claim.scope_hash, claim.mode
    )
    row = await connection.fetchrow(
        "SELECT status, scope, scope_hash, ended_at FROM worker.runs WHERE run_id = $1 FOR UPDATE", claim.run_id
    )
    assert row is not None, "it was inserted above"
    if row["scope_hash"] != claim.scope_hash:
        raise Faults(
            [f"run key {claim.run_key!r} was used with another scope: {row['scope']}; use another key, or that scope"]
        )
    return row


def _columns(letters: list[DeadLetter]) -> list[list[Any]]:
    return [
        [_json(letter.key) for letter in letters],
        [_text(letter.type) for letter in letters],
        [_text(letter.message) for letter in letters],
        [letter.tries for letter in letters],
        [letter.first_at for letter in letters],
        [letter.last_at for letter in letters],
    ]


def _text(value: str) -> str:
    """Give a text that PostgreSQL can hold: there is no NUL in it."""
    return value.replace("\0", _NO_NUL)


def _json(value: Any) -> str:
    return _ESCAPED_NUL.sub(rf"\1{_NO_NUL}", msgspec.json.encode(value).decode())


_NO_NUL = "\N{REPLACEMENT CHARACTER}"
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")

_MISSING_RIGHTS = """
SELECT privilege || ' ON worker.' || name AS missing
FROM unnest(ARRAY['runs', 'attempts', 'dead_letters']) AS name, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS privilege
WHERE NOT has_table_privilege('worker.' || name, privilege)
UNION ALL
SELECT 'DELETE ON worker.dead_letters' WHERE NOT has_table_privilege('worker.dead_letters', 'DELETE')
UNION ALL
SELECT 'USAGE ON SEQUENCE worker.tokens' WHERE NOT has_sequence_privilege('worker.tokens', 'USAGE')"""

_ONE_CLAIM_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('worker lease ' || $1, 0))"

_MORTAL = "SELECT set_config('idle_in_transaction_session_timeout', $1, true)"  # not for the session: poolers share it

_INSERT = """
INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status)
VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, 'interrupted') ON CONFLICT (run_id) DO NOTHING"""

_HOLDER = "SELECT run_id, attempt, token, heartbeat_at, commits FROM worker.runs WHERE lease = $1 FOR UPDATE"

_DEPOSE = """
UPDATE worker.runs SET lease = NULL, token = NULL, lease_until = NULL, status = 'interrupted', detail = 'killed', ended_at = heartbeat_at
WHERE run_id = $1"""

_CLOSE_DEAD = """
UPDATE worker.attempts a SET ended_at = r.heartbeat_at, verdict = $3, detail = 'killed'
FROM worker.runs r WHERE r.run_id = $1 AND a.run_id = $1 AND a.number = $2 AND a.ended_at IS NULL"""

_TAKE = """
UPDATE worker.runs SET lease = $2, token = nextval('worker.tokens'), attempt = attempt + 1, status = 'running', detail = '',
    heartbeat_at = now(), lease_until = now() + make_interval(secs => $3), ended_at = NULL,
    cursor = CASE WHEN $4 THEN NULL ELSE cursor END, open_keys = CASE WHEN $4 THEN '[]' ELSE open_keys END,
    tally = CASE WHEN $4 THEN '{}' ELSE tally END, source = CASE WHEN $4 THEN NULL ELSE source END
WHERE run_id = $1
RETURNING token, attempt, source, coalesce(cursor, 'null')::text AS cursor, open_keys::text AS open_keys, tally::text AS tally, commits"""

_ATTEMPT = """
INSERT INTO worker.attempts (run_id, number, token, task_arn, host, version, before)
VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)"""

_HEARTBEAT = """
UPDATE worker.runs SET heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
WHERE run_id = $1 AND token = $2 RETURNING commits"""

_FENCE = """
UPDATE worker.runs SET commits = commits + 1, heartbeat_at = now(), lease_until = now() + make_interval(secs => $3)
WHERE run_id = $1 AND token = $2 RETURNING commits"""

_CHECKPOINT = """
UPDATE worker.runs SET source = $2, cursor = $3::text::jsonb, open_keys = $4::text::jsonb, tally = $5::text::jsonb
WHERE run_id = $1"""

_DEAD_LETTERS = """
INSERT INTO worker.dead_letters (run_id, key, type, message, tries, first_at, last_at)
SELECT $1, key::jsonb, type, message, tries, first_at, last_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[], $7::timestamptz[])
    AS letter (key, type, message, tries, first_at, last_at)
ON CONFLICT (run_id, key) DO UPDATE SET type = excluded.type, message = excluded.message,
    tries = dead_letters.tries + excluded.tries, last_at = excluded.last_at"""

_COMMITS = "SELECT commits, tally::text AS tally FROM worker.runs WHERE run_id = $1 AND token = $2 FOR UPDATE"

_CLOSE = """
UPDATE worker.attempts SET ended_at = now(), verdict = $3, exit_code = $4, detail = $5, tally = $6::text::jsonb,
    summary = $7::text::jsonb
WHERE run_id = $1 AND number = $2"""

_RELEASE = """
UPDATE worker.runs SET lease = NULL, token = NULL, lease_until = NULL, status = $3, detail = $4, ended_at = now()
WHERE run_id = $1 AND token = $2"""

_HISTORY = """
SELECT count(*) AS runs,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_s) AS duration_s,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(tally->>'read', '0')::float) AS records,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY coalesce(tally->>'failed', '0')::float) AS failed
FROM (
    SELECT r.tally, (SELECT sum(extract(epoch FROM a.ended_at - a.started_at))::float FROM worker.attempts a
                     WHERE a.run_id = r.run_id) AS duration_s
    FROM worker.runs r
    WHERE r.job = $1 AND r.mode = $2 AND r.scope_hash = $3 AND r.status = 'succeeded' AND r.run_id <> $4
    ORDER BY r.created_at DESC LIMIT 10
) AS recent"""
