"""Copy the payment provider's customers into the customers table: the new ones often, all of them nightly."""

from typing import Any

from worker import (
    Connection,
    Database,
    Every,
    Job,
    Limits,
    Outcome,
    Rate,
    Record,
    Results,
    Run,
    Scope,
    Source,
    Stripe,
    columns,
    done,
    hours,
    lists,
    skipped,
)


class Customers(Scope):
    """Which customers: those created since the last run, or all, which also finds those that were changed or deleted."""

    full: bool = False


class SyncCustomers(Job[Customers]):
    """Stripe's list is the latest first, can be narrowed by `created` alone, and leaves deleted customers out.

    The next run begins ten minutes before the last complete one began, not at the latest customer in the table: a run that was
    cut short leaves a gap before that. What a full run has not seen since it began is marked as deleted, and a mark is all that
    it is: the next full run takes it back, should it have been a mistake. Nobody else writes these tables.
    """

    schedule = Every(minutes=15)
    timeout = hours(1)
    limits = Limits(concurrency=16, page_size=100, rates=(Rate(90, name="stripe", shared=True),))
    secrets = ("STRIPE_API_KEY",)
    environment = {"STRIPE_API_BASE": "https://api.stripe.com"}

    SINCE = "SELECT extract(epoch FROM max(began))::int8 - 600 AS since FROM customer_syncs WHERE complete AND NOT $1"

    UPSERT = """WITH sync AS (INSERT INTO customer_syncs (run_id) VALUES ($5) ON CONFLICT DO NOTHING)
        INSERT INTO customers (id, created, email, name) SELECT DISTINCT ON (id) id, to_timestamp(created), email, name
        FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) AS seen (id, created, email, name)
        ON CONFLICT (id) DO UPDATE SET (email, name, seen, deleted) = (excluded.email, excluded.name, now(), NULL)"""

    COMPLETE = """WITH sync AS (UPDATE customer_syncs SET complete = true WHERE run_id = $1 RETURNING began)
        UPDATE customers SET deleted = now() FROM sync WHERE $2 AND deleted IS NULL AND seen < began RETURNING id"""

    def source(self, run: Run[Customers]) -> Source:
        return lists.by_cursor(self.page, key=("created", "id"), one=lambda key: self.stripe.customer(key[1]))

    async def open(self, run: Run[Customers]) -> None:
        self.run, self.stripe = run, await run.enter(Stripe(run, limit="stripe"))
        self.database = await run.enter(Database(run))

    async def page(self, after: Any, size: int) -> Any:
        [mark] = await self.database.fetch(self.SINCE, self.run.scope.full)
        return await self.stripe.customers(after, size, since=mark["since"])

    async def process(self, customer: Record, run: Run[Customers]) -> Outcome:
        known = not run.scope.full and await self.database.fetch("SELECT FROM customers WHERE id = $1", customer["id"])
        return skipped("already there") if known else done()

    async def write(self, results: Results, connection: Connection) -> None:
        await connection.execute(self.UPSERT, *columns(results, "id", "created", "email", "name"), self.run.run_id)

    async def finish(self, run: Run[Customers], connection: Connection) -> None:
        run.counters["deleted"] = len(await connection.fetch(self.COMPLETE, run.run_id, run.scope.full))
