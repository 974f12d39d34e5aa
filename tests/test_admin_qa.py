"""What a QA framework does, against the real command, the real job and a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from admin_room import QA
from admin_serving import ROOT, served
from pyreqwest.client import Client, ClientBuilder
from simulated import provider

from worker.cli.database import migrated
from worker.local.seed import seed

SEED = ROOT / "jobs" / "local" / "poll_payments.sql"


@asynccontextmanager
async def told(**environ: str) -> AsyncIterator[Client]:
    """Serve, and give a client that holds the token."""
    async with served({"ADMIN_TOKEN_HASHES": QA.entry, **environ}) as base:
        headers = {"Authorization": f"Bearer {QA.token}"}
        async with ClientBuilder().base_url(base).default_headers(headers).build() as client:
            yield client


async def asked(client: Client, **body: Any) -> Any:
    """Start a run, wait for its end and give it."""
    response = await client.post("/admin/poll-payments").body_json({**body, "wait": True}).build().send()
    assert response.status == 200, await response.text()
    return await response.json()


async def checked(database_url: str) -> dict[int, int]:
    """Count each merchant's payments whose new status was recorded by a run."""
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        "SELECT merchant_id, count(*) AS payments FROM payments WHERE updated_at > created_at GROUP BY merchant_id"
    )
    await connection.close()
    return {row["merchant_id"]: row["payments"] for row in rows}


async def test_qa_tries_runs_and_checks_one_merchant(database_url: str) -> None:
    """Dry run, run, the same again: one merchant's payments change, once."""
    await migrated(database_url)
    await seed(database_url, SEED.read_text(), 2_000)
    async with (
        provider() as known,
        told(DATABASE_URL=database_url, STRIPE_API_BASE=known.url, STRIPE_API_KEY=known.simulator.api_key) as client,
    ):
        trial = await asked(client, merchant_id=42, dry_run=True, run_key="qa-1")
        assert (trial["status"], trial["dry_run"]) == ("succeeded", True)
        assert await checked(database_url) == {}
        run = await asked(client, merchant_id=42, run_key="qa-1")
        assert (run["run_id"], run["status"], run["scope"]) == ("poll-payments:qa-1", "succeeded", {"merchant_id": 42})
        assert run["tally"]["done"] == trial["tally"]["done"] > 0
        assert await checked(database_url) == {42: run["tally"]["done"]}
        again = await asked(client, merchant_id=42, run_key="qa-1")
        assert again == run
