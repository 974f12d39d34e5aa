"""Ask the payment provider about every payment that is still processing, and record its answer."""

from worker import (
    VALUE,
    Connection,
    ErrorBudget,
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
    Written,
    columns,
    done,
    minutes,
    postgres,
    skipped,
)


class Payments(Scope):
    """Which payments: all of them, or one merchant's."""

    merchant_id: int | None = None


class PollPayments(Job[Payments]):
    """The provider allows 100 calls a second; a tenth is left to the people who use it by hand.

    The limit is one for all tasks that call it so: of this job in every scope, and of sync-customers.
    """

    schedule = Every(minutes=5)
    timeout = minutes(20)
    limits = Limits(concurrency=64, rate=Rate(90, name="stripe", shared=True), max_age=30, record_timeout=12)
    errors = ErrorBudget(share=0.2, tolerated=0.01)
    secrets = ("STRIPE_API_KEY",)
    environment = {"STRIPE_API_BASE": "https://api.stripe.com"}

    PROCESSING = """
        SELECT id, provider_ref, status, updated_at FROM payments
        WHERE status = 'processing' AND ($1::bigint IS NULL OR merchant_id = $1)"""

    RECORD = """
        UPDATE payments p SET status = answer.status, updated_at = now(), checked_at = now()
        FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[]) AS answer (id, was, read_at, status)
        WHERE p.id = answer.id AND p.status = answer.was AND p.updated_at = answer.read_at
        RETURNING p.id"""

    def source(self, run: Run[Payments]) -> Source:
        return postgres.query(self.PROCESSING, run.scope.merchant_id, key="id")

    async def open(self, run: Run[Payments]) -> None:
        self.stripe = await run.enter(Stripe(run))

    async def check(self, run: Run[Payments]) -> list[str]:
        return await self.stripe.check()

    async def process(self, payment: Record, run: Run[Payments]) -> Outcome:
        intent = await self.stripe.payment_intent(payment["provider_ref"])
        return skipped("unchanged") if intent.status == payment["status"] else done(intent.status)

    async def write(self, results: Results, connection: Connection) -> Written:
        rows: Written = await connection.fetch(self.RECORD, *columns(results, "id", "status", "updated_at", VALUE))
        return rows
