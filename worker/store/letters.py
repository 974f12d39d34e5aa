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
from worker.store.items import RunItem, Stamp, expiry, place, stands
from worker.store.table import Item, Table

_FIRST, _LAST = "letter ", "letter \U0010ffff"


class Letters:
    """The dead letters of runs, each an item beside its run's."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def keep(self, run: RunItem, letters: Iterable[DeadLetter], stamp: Stamp) -> None:
        """Write letters for a commit that is about to be made; again does no harm."""
        await asyncio.gather(*(self._keep(run, letter, str(stamp)) for letter in letters))

    async def mend(self, run: RunItem, keys: Iterable[JsonKey], stamp: Stamp) -> None:
        """Note that letters are none any more, once that commit is made."""
        changes = {"mended": str(stamp)}
        await asyncio.gather(*(self._table.update(run.pk, place(key), changes, expect={"pk": run.pk}) for key in keys))

    async def standing(self, run: RunItem, selected: Selection, after: JsonKey | None = None) -> AsyncIterator[Item]:
        """Give the letters that count, in the order of their sort keys, behind that of a key."""
        first = _FIRST if after is None else f"{place(after)} "
        async for page in self._table.query(("pk", run.pk), sk=(first, _LAST)):
            for item in page:
                if stands(item, run) and _is_selected(item, selected):
                    yield item

    async def _keep(self, run: RunItem, letter: DeadLetter, stamp: str) -> None:
        """Write one: alone where there is none, else with the first time and the tries of the one that counts."""
        item = _item(run, letter, stamp)
        if await self._table.put(item, expect={"pk": None}):
            return
        while True:
            old = await self._table.get(run.pk, item["sk"]) or {"last": stamp}
            if old["last"] == stamp:
                return  # a try of this commit whose answer was lost has written it
            merged = item | {"revision": old["revision"] + 1}
            if stands(old, run):
                merged |= {"failed": old["failed"], "first_at": old["first_at"], "tries": old["tries"] + letter.tries}
            if await self._table.put(merged, expect={"revision": old["revision"]}):
                return


def _item(run: RunItem, letter: DeadLetter, stamp: str) -> Item:
    return {
        "pk": run.pk,
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
