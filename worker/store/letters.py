"""Dead letters in DynamoDB: written before the page commit that they belong to, and valid only once that was made.

There is no transaction over many items. So each letter carries the stamp of its commit, and so does its mending; the run's item
tells which commits were made. What a killed attempt, or one that lost its lease, has written ahead counts for nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence

import msgspec

from worker.claim import Selection
from worker.ledger import DeadLetter
from worker.source import JsonKey
from worker.store.items import Attempted, RunItem, Stamp, expiry, place, stands
from worker.store.table import Item, Table
from worker.store.table_shards import TableShards

_FIRST, _LAST = "letter ", "letter \U0010ffff"


class Letters:
    """The dead letters of runs, each an item beside its run's."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def keep(self, run: RunItem, attempted: Attempted, letters: Iterable[DeadLetter], stamp: Stamp) -> None:
        """Write letters for a commit that is about to be made; again does no harm."""
        await asyncio.gather(*(self._keep(run, attempted, letter, str(stamp)) for letter in letters))

    async def mend(self, run: RunItem, keys: Iterable[JsonKey], stamp: Stamp) -> None:
        """Note that letters are none any more, once that commit is made."""
        home, changes = run.home, {"mended": str(stamp)}
        await asyncio.gather(*(self._table.update(home, place(key), changes, expect={"pk": home}) for key in keys))

    async def standing(
        self, run: RunItem, attempted: Attempted, selected: Selection, after: JsonKey | None = None
    ) -> AsyncIterator[Item]:
        """Give the letters of a run or of a shard that count, in the order of their sort keys, behind that of a key."""
        first = _FIRST if after is None else f"{place(after)} "
        async for page in self._table.query(("pk", run.home), sk=(first, _LAST)):
            for item in page:
                mine = not run.shard or item.get("shard") == run.shard
                if mine and stands(item, attempted) and _is_selected(item, selected):
                    yield item

    async def attempted(self, run: RunItem) -> Attempted:
        """Read who else may have written letters of this run or shard: commits of others that were not made must not count."""
        shards = TableShards(self._table)
        if run.parent is None:
            return {0: run, **await shards.parts(run)}
        whole = await shards.find(run.parent)
        return {run.shard: run} if whole is None else {0: whole, run.shard: run}

    async def _keep(self, run: RunItem, attempted: Attempted, letter: DeadLetter, stamp: str) -> None:
        """Write one: alone where there is none, else with the first time and the tries of the one that counts."""
        item = _item(run, letter, stamp)
        if await self._table.put(item, expect={"pk": None}):
            return
        while True:
            old = await self._table.get(run.home, item["sk"]) or {"last": stamp}
            if old["last"] == stamp:
                return  # a try of this commit whose answer was lost has written it
            merged = item | {"revision": old["revision"] + 1, "shard": run.shard or old.get("shard")}
            if stands(old, attempted):
                merged |= {"failed": old["failed"], "first_at": old["first_at"], "tries": old["tries"] + letter.tries}
            if await self._table.put(merged, expect={"revision": old["revision"]}):
                return


def _item(run: RunItem, letter: DeadLetter, stamp: str) -> Item:
    return {
        "pk": run.home,
        "sk": place(letter.key),
        "key": msgspec.json.encode(letter.key).decode(),
        "type": letter.type,
        "message": letter.message,
        "tries": letter.tries,
        "first_at": letter.first_at.isoformat(),
        "last_at": letter.last_at.isoformat(),
        "failed": stamp,
        "last": stamp,
        "revision": 1,
        "shard": run.shard or None,
        "expires": expiry(),
    }


def _is_selected(item: Item, selected: Selection) -> bool:
    """Tell whether a replay has chosen a letter."""
    if selected.error is not None and item["type"] != selected.error:
        return False
    return selected.key is None or selected.key == shown(msgspec.json.decode(item["key"]))


def shown(key: Sequence[object]) -> str:
    """Give a key as the messages show it."""
    return ", ".join(map(str, key))
