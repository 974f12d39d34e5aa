"""Note when the first record came."""

import time
from pathlib import Path

from worker import Job, Outcome, Record, Run, Scope, Source, done, postgres


class Rows(Scope):
    """How many of them."""

    rows: int


class First(Job[Rows]):
    """What is before the first record is the start."""

    environment = {"FIRST_RECORD": None}

    ROWS = "SELECT id, ref FROM records WHERE id <= $1"

    def source(self, run: Run[Rows]) -> Source:
        return postgres.query(self.ROWS, run.scope.rows, key="id")

    async def process(self, record: Record, run: Run[Rows]) -> Outcome:
        Path(run.environment["FIRST_RECORD"]).write_text(str(time.monotonic()))
        return done()
