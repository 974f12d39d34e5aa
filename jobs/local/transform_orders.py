"""What transform-orders finds: a day's orders in the bucket, as extract-orders leaves them."""

from typing import Any

from jobs.local._orders import extracted


async def seed(postgres: Any, aws: Any, records: int) -> dict[str, str]:
    """Make so many orders, and what the steps before this one make of them."""
    return await extracted(postgres, aws, records)
