"""Shared rate limits in DynamoDB: one item a limit, changed on the condition that nobody else did in between.

The clock is the Date of DynamoDB's own answer. It says whole seconds: what counts as over is told by their beginning, what counts as
still going on by their end, so that a portion changes hands up to two seconds later than in PostgreSQL, and never too early.
"""

import asyncio
import random
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from worker.errors import Transient
from worker.portions import Ask, Grant, Ledger, settle
from worker.store.table import Table, plain, typed

_TRIES = 20
_PAUSE_S = 0.05
_SECOND = 1.0


class TablePortions:
    """The ledgers of the run store; see `Portions`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def settle(self, name: str, ask: Ask) -> Grant:
        """Settle what a task asks."""
        place = (f"portions {name}", "portions")
        for _ in range(_TRIES):
            key = typed(dict(zip(("pk", "sk"), place, strict=True)))
            answer = await self._table.call("get_item", Key=key, ConsistentRead=True)
            item, now = plain(answer.get("Item", {})), _date(answer)
            before = msgspec.json.decode(item.get("ledger", "{}"), type=Ledger)
            ledger, grant = settle(before, ask, now, now + _SECOND)
            changes = {"ledger": msgspec.json.encode(ledger).decode()}
            if await self._table.update(*place, changes, {"revision": item.get("revision")}):
                return grant
            await asyncio.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - jitter, not a secret
        raise Transient(f"too many tasks at once: limit {name} could not be settled")


def _date(answer: Any) -> float:
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
