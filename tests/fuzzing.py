"""A room for fuzzing the admin API by its own document: the real server, PostgreSQL that logs each statement, a job that writes texts."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from admin_serving import served

from worker.admin import tokens
from worker.cli.database import migrated
from worker.local.postgres import Postgres

TOKEN = tokens.make("fuzz", ["read", "start:*", "stop:*", "replay:*"])
MARK = "zq7fuzzed"
"""Stands in every text that is sent; with what ends a text in SQL behind it, where any text may stand."""
SHARP = f"{MARK}'; DROP TABLE people; --"
AFTER = base64.urlsafe_b64encode(json.dumps([SHARP]).encode()).decode().rstrip("=")
KNOWN = "greet-people:known"
HEADERS = {"Authorization": f"Bearer {TOKEN.token}"}

_JOB = '''\
"""Greet people: a job whose scope has fields of several kinds, all of them for its query."""

from datetime import date
from typing import Literal

from worker import Connection, Job, Outcome, Record, Results, Run, Scope, Secret, Source, Written, columns, done, failed, postgres


class People(Scope):
    name: str | None = None
    names: tuple[str, ...] = ()
    age: int | None = None
    since: date | None = None
    mood: Literal["glad", "sad"] | None = None
    secret: Secret | None = None


class GreetPeople(Job[People]):
    PEOPLE = """SELECT id, name FROM people
                WHERE ($1::text IS NULL OR name = $1) AND ($2::text[] = '{}' OR name = ANY($2)) AND ($3::bigint IS NULL OR age > $3)"""

    def source(self, run: Run[People]) -> Source:
        return postgres.query(self.PEOPLE, run.scope.name, list(run.scope.names), run.scope.age, key="id")

    async def process(self, person: Record, run: Run[People]) -> Outcome:
        return failed(f"nobody greets {run.scope.name}") if person["id"] % 2 else done(person["name"])

    async def write(self, results: Results, connection: Connection) -> Written:
        return await connection.fetch("UPDATE people SET age = age WHERE id = ANY($1) RETURNING id", *columns(results, "id"))
'''


class Fuzzed:
    """A server, and what its database was told."""

    def __init__(self, address: str, server: Postgres, url: str) -> None:
        self.address, self._server, self._url = address, server, url

    async def ask(self, statement: str) -> Any:
        """Ask the database for one value."""
        connection = await asyncpg.connect(self._url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    def statements(self) -> str:
        """Give the server's log: each statement as the database got it, without the parameters' values."""
        return (self._server.folder / "log").read_text(errors="replace")


@asynccontextmanager
async def fuzzed(server: Postgres, folder: Path) -> AsyncIterator[Fuzzed]:
    """Serve the job, over a run store with one run and its dead letters."""
    (folder / "jobs").mkdir()
    (folder / "jobs" / "__init__.py").touch()
    (folder / "jobs" / "greet_people.py").write_text(_JOB)
    url = await server.database()
    await migrated(url)
    connection = await asyncpg.connect(url)
    for setting in ("log_statement = 'all'", "log_parameter_max_length = 0", "log_parameter_max_length_on_error = 0"):
        await connection.execute(f"ALTER ROLE CURRENT_USER IN DATABASE {url.rpartition('/')[2]} SET {setting}")
    await connection.execute(_PEOPLE)
    await connection.close()
    try:
        async with served({"ADMIN_TOKEN_HASHES": TOKEN.entry, "DATABASE_URL": url}, folder=folder, most=2) as address:
            yield Fuzzed(address, server, url)
    finally:
        await server.drop(url)


def marked(case: Any, run_id: str | None, mark: bool) -> None:
    """Have a case name a run that is there, and the mark in its texts; in half of them all texts are as they were made up."""
    if run_id and "run_id" in case.path_parameters:
        case.path_parameters["run_id"] = run_id
    if isinstance(case.body, dict):
        case.body.pop("wait", None)  # the next case does not wait for a run
    if mark and isinstance(case.body, dict):
        case.body = {name: _marked(value, SHARP) for name, value in case.body.items() if name != "run_key"}
    if mark and case.query:
        case.query = {name: AFTER if name == "after" else _marked(value, SHARP) for name, value in case.query.items()}
    if mark and case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = f"{MARK}-{case.headers['Idempotency-Key']}"[:128]


def _marked(value: Any, mark: str) -> Any:
    if isinstance(value, list):
        return [_marked(each, mark) for each in value]
    return mark + value if isinstance(value, str) else value


_PEOPLE = """
CREATE TABLE people (id bigint PRIMARY KEY, name text NOT NULL, age bigint NOT NULL);
INSERT INTO people SELECT n, 'name ' || n, n FROM generate_series(1, 20) n;
INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status, attempt, tally)
VALUES ('greet-people:known', 'greet-people', 'known', '{}', encode(sha256('{}'), 'hex'), 'run', 'completed with failures', 1,
    '{"read": 20, "done": 10, "failed": 10, "skipped": {}}');
INSERT INTO worker.attempts (run_id, number, token, ended_at, verdict, exit_code)
VALUES ('greet-people:known', 1, 0, now(), 'completed with failures', 1);
INSERT INTO worker.dead_letters SELECT 'greet-people:known', jsonb_build_array(n), 'Failed', 'no', 1, now(), now()
FROM generate_series(1, 19, 2) n"""
