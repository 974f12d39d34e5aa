"""The supply by itself: what it hands out while its window of open keys is full."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes import Rows, now

from worker.supply import Parked, Supply

pytestmark = pytest.mark.looptime


async def at_once(call: Callable[[], Awaitable[Any]]) -> Any:
    """Ask the source, once."""
    return await call()


async def test_supply_begins_nothing_new_while_its_window_is_full() -> None:
    """Records that grew old while they waited stay open keys: no new one is handed out in their place."""
    supply = Supply(Rows(range(10)), page_size=5, window=2, max_age=10, wake=lambda: None, gone=lambda: None, clock=now)
    pumping = asyncio.create_task(supply.pump(at_once))
    await asyncio.sleep(1)
    for row in (supply.take(now()), supply.take(now())):
        supply.park(Parked(supply.key_of(row), row, read_at=-100), now() + 5)
    assert supply.blocked
    assert supply.stock == 0
    pumping.cancel()
    await asyncio.sleep(5)
    supply.ripen(now())
    assert supply.stock == 2
    assert supply.take(now()) is None
    assert sorted(supply.open_keys()) == [(0,), (1,)]
    assert supply.cursor() == (1,)
