"""Use a millisecond of CPU for every row: work of which one core does a thousand a second."""

from time import thread_time

from worker import Job, Limits, Outcome, Record, Run, Scope, Source, done, minutes, postgres


class Rows(Scope):
    """How many of them."""

    rows: int


class Burn(Job[Rows]):
    """As parsing, hashing or rendering would."""

    timeout = minutes(10)
    limits = Limits(concurrency=16, page_size=200)

    ROWS = "SELECT id FROM records WHERE id <= $1"

    def source(self, run: Run[Rows]) -> Source:
        return postgres.query(self.ROWS, run.scope.rows, key="id")

    async def process(self, record: Record, run: Run[Rows]) -> Outcome:
        until = thread_time() + 0.001
        while thread_time() < until:
            pass
        return done()
