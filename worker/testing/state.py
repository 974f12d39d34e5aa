"""What a run left behind in its database, and how two such ends differ."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import asyncpg
import msgspec

from worker.database import Link
from worker.store.migrate import migrate
from worker.tally import Tally

_SHOWN = 5

Counts = Literal["exact", "finished", "at least", "at most"]
"""How many outcomes there must be, held against an undisturbed run: as many of each; or as many in all, where what was written
beside the page commit is skipped the next time; or more, where it comes again from a queue; or fewer, where it is gone."""


@dataclass(frozen=True, slots=True)
class State:
    """The rows of every compared table, the dead letters, and what the run store says of the run."""

    rows: dict[str, Counter[str]]
    status: str
    tally: Tally
    attempts: list[tuple[str | None, Tally, Tally]]
    """Of each: its verdict, the run's tally before it, its own."""

    def faults(self, undisturbed: "State", counts: Counts) -> list[str]:
        """Find what is not as after an undisturbed run."""
        return [*self._sums(undisturbed, counts), *self._differences(undisturbed)]

    def _sums(self, undisturbed: "State", counts: Counts) -> list[str]:
        """Add up: nothing lost, nothing counted twice, over all attempts."""
        faults = []
        if self.status != undisturbed.status:
            faults.append(f"the run {self.status}; undisturbed it {undisturbed.status}")
        if self.tally.read != self.tally.finished:
            faults.append(f"its outcomes do not add up: {self.tally}")
        if not _as_many(self.tally, undisturbed.tally, counts):
            faults.append(f"{_outcomes(self.tally)}; undisturbed {_outcomes(undisturbed.tally)}")
        _, before, own = self.attempts[-1]
        if before.finished + own.finished != self.tally.finished:
            faults.append(
                f"its attempts do not add up: {before.finished:,} + {own.finished:,} is not {self.tally.finished:,}"
            )
        return faults

    def _differences(self, undisturbed: "State") -> list[str]:
        faults = []
        for table, expected in undisturbed.rows.items():
            for what, differing in (
                ("only here", self.rows[table] - expected),
                ("only undisturbed", expected - self.rows[table]),
            ):
                if differing:
                    shown = "".join(f"\n    {row}" for row in list(differing.elements())[:_SHOWN])
                    faults.append(f"{differing.total():,} rows of {table} are {what}:{shown}")
        return faults


@asynccontextmanager
async def copied(url: str) -> AsyncIterator[str]:
    """Give a copy of a database, with the run store's schema, dropped afterwards. Nobody may be connected to the database."""
    parts = urlsplit(url)
    name = f"{parts.path[1:]}_{secrets.token_hex(4)}"
    copy = parts._replace(path=f"/{name}").geturl()
    await _run(url, f'CREATE DATABASE "{name}" TEMPLATE "{parts.path[1:]}"')
    try:
        async with Link(copy, "trial") as link:
            await migrate(link)
        yield copy
    finally:
        await _run(url, f'DROP DATABASE "{name}" WITH (FORCE)')


async def state(url: str, tables: Sequence[str] | None, except_columns: Sequence[str], run_id: str) -> State:
    """Read what a run left behind; without `tables` all of them, but for the run store's own."""
    connection = await asyncpg.connect(url)
    try:
        names = list(tables) if tables else [row["name"] for row in await connection.fetch(_TABLES)]
        rows = {name: await _rows(connection, _ROWS.format(name), list(except_columns)) for name in names}
        rows["worker.dead_letters"] = await _rows(connection, _LETTERS, run_id)
        run = await connection.fetchrow(_RUN, run_id)
        if run is None:
            raise AssertionError(f"run {run_id} is not in the run store")
        attempts = [
            (row["verdict"], _tally(row["before"]), _tally(row["tally"]))
            for row in await connection.fetch(_ATTEMPTS, run_id)
        ]
    finally:
        await connection.close()
    return State(rows, run["status"], _tally(run["tally"]), attempts)


def _as_many(ours: Tally, expected: Tally, counts: Counts) -> bool:
    match counts:
        case "exact":
            return _outcomes(ours) == _outcomes(expected)
        case "finished":
            return (ours.finished, ours.failed) == (expected.finished, expected.failed)
        case "at least":
            return ours.finished >= expected.finished and ours.failed >= expected.failed
        case "at most":
            return ours.finished <= expected.finished and ours.failed <= expected.failed


def _outcomes(tally: Tally) -> str:
    return f"{tally.finished:,} records have outcomes: {tally.done:,} done, {tally.skips:,} skipped, {tally.failed:,} failed"


async def _rows(connection: "asyncpg.Connection[Any]", sql: str, *arguments: Any) -> Counter[str]:
    return Counter(row["row"] for row in await connection.fetch(sql, *arguments))


async def _run(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def _tally(text: str) -> Tally:
    return Tally.from_json(msgspec.json.decode(text))


_TABLES = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema', 'worker') ORDER BY 1"""

_ROWS = "SELECT (to_jsonb(t) - $1::text[])::text AS row FROM {} AS t"

_LETTERS = "SELECT jsonb_build_array(key, type)::text AS row FROM worker.dead_letters WHERE run_id = $1"

_RUN = "SELECT status, tally::text AS tally FROM worker.runs WHERE run_id = $1"

_ATTEMPTS = """
SELECT verdict, before::text AS before, tally::text AS tally FROM worker.attempts WHERE run_id = $1 ORDER BY number"""
