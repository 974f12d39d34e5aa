"""Shards in DynamoDB: how one joins the run that it is part of, leaves it, and closes it where it was the last to end.

What several shards change of the run's item is a set written as a text, on the condition that it still is what it was: a write
whose answer was lost, done again, changes nothing more.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from worker.claim import Claim, shard_id
from worker.events import Summary
from worker.shards import Rested, Whole, closed, sum_of
from worker.store import items, steps
from worker.store.items import LeaseItem, RunItem, attempt_item, encoded, run_of, unpacked
from worker.store.table import Item, Table


class TableShards:
    """The shards of runs, each an item of its own beside the run's."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def join(self, claim: Claim, whole: RunItem, lease: LeaseItem, lease_s: float) -> bool:
        """Count a shard as open and renew the job's lease for its run; False where the run was written meanwhile."""
        assert claim.shard is not None, "a shard joins"
        if not whole.held and whole.killed:
            await self._table.put(attempt_item(whole))
        parts = {} if whole.held else await self.parts(whole)
        changes = steps.joined(whole, parts, claim, lease.token, lease_s)
        return await self._table.update(whole.pk, "run", changes, {"revision": whole.revision})

    async def beat(self, whole_id: str, token: int) -> bool:
        """Renew the job's lease for the run; False where it was taken from it."""
        changes = {"heartbeat_at": items.now()}
        return await self._table.update(whole_id, "run", changes, {"token": token, "held": True})

    async def depose(self, whole_id: str, numbers: Sequence[int]) -> None:
        """Fence off shards; whoever begins with one after that finds that the run is not held any more."""
        for number in numbers:
            while (shard := await self.find(shard_id(whole_id, number))) is not None and shard.held:
                changes = steps.deposed(shard, shard.token)
                await self._table.update(shard.pk, "run", changes, {"revision": shard.revision})

    async def all_worked(self, whole_id: str, number: int) -> bool:
        """Note that all records of a shard were worked on; tell whether that is so of all shards."""
        while True:
            whole = await self._whole(whole_id)
            worked = sorted({*msgspec.json.decode(whole.worked), number})
            expect = {"worked": whole.worked if whole.worked != "[]" else None}
            if await self._table.update(whole_id, "run", {"worked": encoded(worked)}, expect):
                return len(worked) == whole.shards

    async def leave(self, whole_id: str, number: int) -> Summary | None:
        """Take a shard that has ended out of the open ones; close the run where it was the last. Again does no harm."""
        while True:
            whole = await self._whole(whole_id)
            still: list[int] = msgspec.json.decode(whole.open_shards)
            left = [each for each in still if each != number]
            if left == still:
                break
            changes: Item = {"open_shards": encoded(left)} | ({} if left else {"untold": number})
            if await self._table.update(whole_id, "run", changes, {"open_shards": whole.open_shards}):
                whole = await self._whole(whole_id)
                break
        return await self._close(whole) if whole.untold == number and whole.open_shards == "[]" else None

    async def bury(self, whole_id: str, number: int, task_arn: str | None) -> Summary | None:
        """Take a shard for ended whose process is dead; see `Store`."""
        shard = await self.find(shard_id(whole_id, number))
        if shard is not None and task_arn is not None and shard.task_arn != task_arn:
            return None  # another one has taken over since
        await self.depose(whole_id, [number])
        return await self.leave(whole_id, number)

    async def told(self, whole_id: str) -> None:
        """Note that the whole run's summary is out."""
        await self._table.update(whole_id, "run", {"untold": None}, {"open_shards": "[]"})

    async def parts(self, whole: RunItem) -> dict[int, RunItem]:
        """Read the shards of a run that were begun, by their numbers."""
        ids = {shard_id(whole.pk, number): number for number in range(1, (whole.shards or 0) + 1)}
        found = await self._table.find([(pk, "run") for pk in ids])
        runs = {ids[pk]: run_of(item) for (pk, _), item in found.items()}
        return {number: run for number, run in sorted(runs.items()) if run is not None}

    async def _close(self, whole: RunItem) -> Summary:
        parts = await self.parts(whole)
        ends = await self._table.find([(part.pk, attempt_item(part)["sk"]) for part in parts.values()])
        rested = [
            _rested(number, parts.get(number), {pk: item for (pk, _), item in ends.items()}, whole.pk)
            for number in range(1, (whole.shards or 0) + 1)
        ]
        summary = closed(_as_it_began(whole), rested)
        tallies = {"tally": summary.run_tally, "summed": sum_of(part.tally for part in rested)}
        attempt, rest = steps.ended(whole, summary)
        await self._table.put(attempt)
        rest |= {name: encoded(tally.to_json()) for name, tally in tallies.items()}
        await self._table.update(whole.pk, "run", rest, {"open_shards": "[]", "untold": whole.untold})
        return summary

    async def find(self, run_id: str) -> RunItem | None:
        """Read the item of a run or a shard."""
        return run_of(await self._table.get(run_id, "run"))

    async def _whole(self, whole_id: str) -> RunItem:
        found = await self.find(whole_id)
        assert found is not None, "runs that are going on are not pruned"
        return found


def _as_it_began(whole: RunItem) -> Whole:
    return Whole(
        job=whole.job,
        run_key=whole.run_key,
        scope=msgspec.json.decode(whole.scope),
        mode=whole.mode,
        attempt=whole.attempt,
        started_at=datetime.fromisoformat(whole.started_at) if whole.started_at else datetime.now(UTC),
        before=steps.tally_of(whole.before),
        tally=steps.tally_of(whole.tally),
        summed=steps.tally_of(whole.summed),
    )


def _rested(number: int, part: RunItem | None, ends: dict[str, Item], whole_id: str) -> Rested:
    end: Any = ends.get(shard_id(whole_id, number), {})
    return Rested(
        number=number,
        status=part.status if part else "pending",
        detail=part.detail if part else "",
        tally=steps.tally_of(part.tally if part else "{}"),
        summary=unpacked(end["summary"]) if "summary" in end else None,
    )
