"""Deliver the webhooks that wait in a queue: signed, to each receiver no faster than it can bear."""

from worker import (
    Backlog,
    ErrorBudget,
    Job,
    Limits,
    Outcome,
    Rate,
    Record,
    Retry,
    Run,
    Scope,
    Source,
    Webhooks,
    done,
    failed,
    minutes,
    sqs,
)


class Share(Scope):
    """Which of the tasks that drain the queue together; the messages are whoever's takes them."""

    part: int = 0


class DeliverWebhooks(Job[Share]):
    """A message is `{"url": "https://…", "payload": {…}}`; what is posted is the payload, its `webhook-id` the message id.

    Started by the launcher for the queue's backlog, up to four tasks, each of which keeps to PER_HOST. A webhook arrives once or more:
    receivers tell by its id. What is refused for good (4xx, 410 among them) or too often goes to the dead-letter queue.
    WEBHOOK_TARGETS=any, for tests, lets it post to private addresses and by http.
    """

    timeout = minutes(30)
    limits = Limits(concurrency=64, page_size=100, record_timeout=20)
    retry = Retry(attempts=6, first=1, longest=60)
    errors = ErrorBudget(share=0.5, tolerated=0.05)
    one_per_scope, max_tasks = True, 4
    backlog = Backlog(queue="WEBHOOK_QUEUE_URL", per_task=250)
    secrets = ("WEBHOOK_SECRET",)
    environment = {"WEBHOOK_QUEUE_URL": None, "WEBHOOK_TARGETS": "public"}

    PER_HOST = Limits(concurrency=8, rate=Rate(20))

    def source(self, run: Run[Share]) -> Source:
        return sqs.drain(run, run.environment["WEBHOOK_QUEUE_URL"], for_s=20 * 60)

    async def open(self, run: Run[Share]) -> None:
        secret, anywhere = run.secrets["WEBHOOK_SECRET"], run.environment["WEBHOOK_TARGETS"] == "any"
        webhooks = Webhooks(run, secret=secret, per_host=self.PER_HOST, public_only=not anywhere)
        self.webhooks = await run.enter(webhooks)

    async def process(self, message: Record, run: Run[Share]) -> Outcome:
        webhook = message["body"]
        if not isinstance(webhook, dict) or not isinstance(webhook.get("url"), str) or "payload" not in webhook:
            return failed('a message is {"url": "https://…", "payload": {…}}', "no webhook")
        if not run.dry_run:
            await self.webhooks.send(webhook["url"], message["id"], webhook["payload"])
        return done(webhook["url"].partition("?")[0])  # a query may hold a token
