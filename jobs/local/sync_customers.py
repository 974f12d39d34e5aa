"""Customers for sync-customers: the provider has `records` of them, the table is empty."""

from typing import Any

TABLES = """
    CREATE TABLE IF NOT EXISTS customers (
        id      text PRIMARY KEY,
        created timestamptz NOT NULL,
        email   text,
        name    text,
        seen    timestamptz NOT NULL DEFAULT now(),
        deleted timestamptz
    );
    CREATE TABLE IF NOT EXISTS customer_syncs (
        run_id   text PRIMARY KEY,
        began    timestamptz NOT NULL DEFAULT now(),
        complete bool NOT NULL DEFAULT false
    );
"""


async def seed(postgres: Any, provider: Any, records: int) -> dict[str, str]:
    """Make the tables, and have the provider know so many customers."""
    await postgres.execute(TABLES)
    await provider.change(customers=records)
    return {}
