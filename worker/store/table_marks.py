"""Marks in DynamoDB: items of their own beside the runs, each set by one conditional write."""

from datetime import datetime

from worker.marks import Mark
from worker.store import items
from worker.store.table import Table


class TableMarks:
    """The marks of the run store; see `Marks`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def mark(self, key: str, value: str = "") -> bool:
        """Set a mark; False where it was set to that value before."""
        while True:
            before = await self._table.get(f"mark {key}", "mark")
            if before is not None and before.get("value", "") == value:
                return False
            item = {"pk": f"mark {key}", "sk": "mark", "value": value, "at": items.now(), "expires": items.expiry()}
            if await self._table.put(item, {"at": before["at"] if before else None}):
                return True  # else somebody else was faster: look again

    async def marked(self, key: str) -> Mark | None:
        """Give a mark, where it is set."""
        item = await self._table.get(f"mark {key}", "mark")
        return Mark(item.get("value", ""), datetime.fromisoformat(item["at"])) if item else None
