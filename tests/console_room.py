"""The console's room: the real server over real payments and a real provider, with jobs of its own, and a browser."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from admin_serving import ROOT, served
from browser import Scheme, Watched, chromium, opened
from payments import Payments, payments
from playwright.async_api import Browser

from worker.admin import tokens

MAX_AFFECTED = 5
OPS = tokens.make("ops", ["read", "start:*", "stop:*", "replay:*"])
READER = tokens.make("reader", ["read"])
STOPPER = tokens.make("stopper", ["stop:poll-payments"])

_EVERY_FIELD = '''\
"""Look at the payments of an audit: a job whose scope has a field of each kind."""

from datetime import date
from typing import Literal

from worker import Job, Outcome, Record, Run, Scope, Secret, Source, done, postgres


class Audit(Scope):
    ids: tuple[int, ...] = ()
    at_least: float = 0.5
    since: date | None = None
    region: Literal["eu", "us"] | None = None
    deep: bool = False
    password: Secret | None = None


class AuditPayments(Job[Audit]):
    def source(self, run: Run[Audit]) -> Source:
        return postgres.query("SELECT id FROM payments WHERE id = ANY($1::bigint[])", list(run.scope.ids), key="id")

    async def process(self, record: Record, run: Run[Audit]) -> Outcome:
        return done()
'''


_HISTORY = """
INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status, attempt, tally, created_at, ended_at)
SELECT 'poll-payments:' || key, 'poll-payments', key,
    CASE n WHEN 11 THEN jsonb_build_object('merchant_id', repeat('7', 3000)) ELSE '{"merchant_id": 42}' END, '',
    CASE n WHEN 13 THEN 'dry-run' ELSE 'run' END,
    CASE n WHEN 4 THEN 'interrupted' WHEN 9 THEN 'aborted' WHEN 13 THEN 'completed with failures' ELSE 'succeeded' END, 1,
    jsonb_build_object('read', 900, 'done', 800 + n, 'failed', 0, 'skipped', jsonb_build_object('unchanged', 100 - n)), at,
    at + interval '1 second' * (40 + 31 * n % 47)
FROM generate_series(1, 15) n, LATERAL (SELECT date_trunc('minute', now()) - n * interval '5 minutes' + interval '2 minutes' AS at) a,
    LATERAL (SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS key) k"""
_ATTEMPTS = """
INSERT INTO worker.attempts (run_id, number, token, started_at, ended_at, verdict)
SELECT run_id, 1, 0, created_at, ended_at, status FROM worker.runs"""


class Room:
    """A server and what is around it; `behaviour` is the provider's."""

    def __init__(self, browser: Browser, world: Payments, address: str) -> None:
        self.browser, self.world, self.address = browser, world, address
        self.behaviour = world.simulator.behaviour

    @asynccontextmanager
    async def shown(
        self,
        place: str = "#/",
        *,
        token: str = OPS.token,
        width: int = 1280,
        height: int = 900,
        scheme: Scheme = "light",
    ) -> AsyncIterator[Watched]:
        """Open a page of the console with this token typed in."""
        address = f"{self.address}/console/{place}"
        async with opened(self.browser, address, width=width, height=height, scheme=scheme) as watched:
            await watched.page.get_by_label("Token").fill(token)
            await watched.page.keyboard.press("Enter")
            await watched.page.get_by_role("navigation").wait_for()
            yield watched


@asynccontextmanager
async def console(url: str, folder: Path, records: int) -> AsyncIterator[Room]:
    """Serve the console over so many payments."""
    write_jobs(folder / "jobs")
    known = {
        "ADMIN_TOKEN_HASHES": ",".join(made.entry for made in (OPS, READER, STOPPER)),
        "WORKER_PAGE_SIZE": "100",
        "WORKER_RATE": "400",
    }
    async with (
        chromium() as browser,
        payments(url, records) as world,
        served({**world.environment, **known}, folder=folder) as address,
    ):
        await world.sql(_HISTORY)
        await world.sql(_ATTEMPTS)
        yield Room(browser, world, address)


def write_jobs(folder: Path) -> None:
    """Write two jobs: the payments' own with a max_affected, and one with fields of every kind."""
    folder.mkdir()
    text = (ROOT / "jobs" / "poll_payments.py").read_text()
    bounded = re.sub(
        r"^    timeout = .*$", rf"\g<0>\n    max_affected = {MAX_AFFECTED}", text, count=1, flags=re.MULTILINE
    )
    (folder / "__init__.py").touch()
    (folder / "poll_payments.py").write_text(bounded)
    (folder / "audit_payments.py").write_text(_EVERY_FIELD)
