"""Do nothing with every row, under every guarantee: a limit that is far away, a deadline, an age."""

from worker import Job, Limits, Outcome, Rate, Record, Run, Scope, Source, done, minutes, postgres


class Rows(Scope):
    """How many of them."""

    rows: int


class Noop(Job[Rows]):
    """What is left is the engine."""

    timeout = minutes(10)
    limits = Limits(concurrency=64, rate=Rate(2_000_000), page_size=1_000, max_age=30)

    ROWS = "SELECT id, ref, status, amount, updated_at FROM records WHERE id <= $1"

    def source(self, run: Run[Rows]) -> Source:
        return postgres.query(self.ROWS, run.scope.rows, key="id")

    async def process(self, record: Record, run: Run[Rows]) -> Outcome:
        return done()
