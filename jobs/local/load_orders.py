"""What load-orders finds: a day's clean orders in the bucket, and an empty table for them."""

from typing import Any

from jobs.local._orders import transformed


async def seed(postgres: Any, aws: Any, records: int) -> dict[str, str]:
    """Make so many orders, and what the steps before this one make of them."""
    return await transformed(postgres, aws, records)
