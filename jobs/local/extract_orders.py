"""What extract-orders finds: orders in PostgreSQL, and an empty bucket."""

from typing import Any

from jobs.local._orders import ordered


async def seed(postgres: Any, aws: Any, records: int) -> dict[str, str]:
    """Make so many orders, and what the steps before this one make of them."""
    return await ordered(postgres, aws, records)
