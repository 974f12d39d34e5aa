"""Wait 5 ms for every row, as for an answer; for one in `slow_in` half a second."""

import asyncio

from worker import Job, Limits, Outcome, Rate, Record, Run, Scope, Source, done, minutes, postgres


class Rows(Scope):
    """How many of them, and how many are slow."""

    rows: int
    slow_in: int = 0


class Wait(Job[Rows]):
    """Input and output without a server's noise."""

    timeout = minutes(10)
    limits = Limits(concurrency=64, rate=Rate(2_000_000), page_size=1_000, max_age=30)

    ROWS = "SELECT id, ref, status, amount, updated_at FROM records WHERE id <= $1"

    def source(self, run: Run[Rows]) -> Source:
        return postgres.query(self.ROWS, run.scope.rows, key="id")

    async def process(self, record: Record, run: Run[Rows]) -> Outcome:
        slow = run.scope.slow_in and record["id"] % run.scope.slow_in == 0
        await asyncio.sleep(0.5 if slow else 0.005)
        return done()
