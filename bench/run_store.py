"""Compare a run store with 30 runs with one that holds 100,000 runs and 1,000,000 dead letters.

Prints, for each question, the median on both and their ratio, measured in turn in one run.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from bench.line import Line, alone, compared, in_turn
from bench.world import World
from worker.claim import Claim
from worker.cli.database import migrated
from worker.database import Link
from worker.events import Start, Summary
from worker.job import Result
from worker.ledger import Batch, DeadLetter
from worker.store.postgres import PostgresStore
from worker.store.reading import RunReader
from worker.tally import Tally
from worker.verdict import Verdict
from worker.writing import Writer

FILL = """
INSERT INTO worker.runs (run_id, job, run_key, scope, scope_hash, mode, status, attempt, tally, created_at, ended_at)
SELECT 'job:' || n, 'job', n::text, '{}', $2, 'run', 'succeeded', 1, '{"read": 100, "done": 100, "failed": 0, "skipped": {}}',
    now() - n * interval '5 minutes', now() - n * interval '5 minutes' + interval '1 minute'
FROM generate_series(1, $1::int) n"""
ATTEMPTS = """
INSERT INTO worker.attempts (run_id, number, token, started_at, ended_at, verdict, exit_code)
SELECT run_id, 1, 0, created_at, ended_at, 'succeeded', 0 FROM worker.runs WHERE job = 'job'"""
LETTERS = """
INSERT INTO worker.dead_letters (run_id, key, type, message, tries, first_at, last_at)
SELECT 'job:' || 1 + n % $1::int, jsonb_build_array(n), 'HTTP 404', 'no such thing', 4, now(), now()
FROM generate_series(1, 10 * $1::int) n"""

_FEW = 30

Question = Callable[["Store"], Awaitable[object]]


class Store:
    """One of the two, with what asks it."""

    def __init__(self, url: str) -> None:
        self.link = Link(url, "bench")
        self.reader = RunReader(self.link)
        self.starts = 0

    async def fill(self, runs: int) -> None:
        """Have so many runs with their attempts, and ten times as many dead letters."""
        async with self.link.using() as connection:
            await connection.execute(FILL, runs, claim("x").scope_hash)
            await connection.execute(ATTEMPTS)
            await connection.execute(LETTERS, runs, timeout=300)
            await connection.execute("VACUUM ANALYZE")

    async def start(self) -> PostgresStore:
        """Check, claim and look back, as the start of an attempt does."""
        self.starts += 1
        store, wanted = PostgresStore(self.link), claim(f"key-{self.starts}")
        assert await store.check() == []
        await store.claim(wanted)
        await store.history(wanted)
        return store

    async def start_and_end(self) -> None:
        """Begin an attempt and close it."""
        store = await self.start()
        begun = Start(job="job", run_id="job:x", run_key="x", attempt=1, started_at=datetime.now(UTC))
        await store.end(Summary(start=begun, verdict=Verdict.INTERRUPTED, ended_at=datetime.now(UTC)))

    async def commit_pages(self, pages: int = 20) -> None:
        """Commit pages of 500 results and 5 failures each."""
        store, now = await self.start(), datetime.now(UTC)
        writer = Writer(None, lambda result, error: letters[0], store.is_refusal)
        for page in range(pages):
            letters = [DeadLetter([page * 5 + n], "HTTP 404", "no such thing", 4, now, now) for n in range(5)]
            results = [Result({"id": n}, "done") for n in range(500)]
            await store.commit(Batch(results, letters, [page], [[n] for n in range(64)], Tally(read=500)), "id", writer)
        async with self.link.using() as connection:
            await connection.execute("UPDATE worker.runs SET lease = NULL, token = NULL WHERE lease IS NOT NULL")


QUESTIONS: dict[str, Question] = {
    "start and end of an attempt": lambda store: store.start_and_end(),
    "20 page commits": lambda store: store.commit_pages(),
    "runs": lambda store: store.reader.latest(None, 20),
    "runs <job>": lambda store: store.reader.latest("job", 20),
}


def claim(key: str) -> Claim:
    """Claim a run of the job."""
    return Claim(job="job", run_key=key, lease="job")


async def run_store(world: World, runs: int, rounds: int) -> list[Line]:
    """Fill one of two stores and ask both in turn."""
    empty, full = [Store(await world.server.database()) for _ in range(2)]
    for store in (empty, full):
        await migrated(store.link.url)
    await full.fill(runs)
    lines = []
    for name, question in QUESTIONS.items():
        for store in (full, empty):
            await question(store)  # connects, plans, reads into memory
        at_full, at_empty = await in_turn([partial(_asked, question, store) for store in (full, empty)], rounds)
        lines.append(compared("store", f"{name}, {runs:,} runs", at_full, "empty store", at_empty, unit="ms"))
    for store in (empty, full):
        await store.link.close()
    return lines


async def commit_price(world: World) -> Line:
    """Price the page commit a record: pages of 500 results that nobody writes, 5 dead letters each."""
    store = Store(await world.server.database())
    await migrated(store.link.url)
    pages = 40
    figures = [await _asked(lambda store: store.commit_pages(pages), store) / pages / 500 * 1e3 for _ in range(5)]
    await store.link.close()
    return alone("8", "price of: page commit, without the write", figures, unit="µs")


async def _asked(question: Question, store: Store) -> float:
    """Give the milliseconds until the answer."""
    began = time.perf_counter()
    await question(store)
    return (time.perf_counter() - began) * 1e3
