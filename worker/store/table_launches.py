"""Launches in DynamoDB: one item holds all that take room, so that a reservation is one conditional write.

======================  ==========================  ==================================================================
partition key `pk`      sort key `sk`               what it is
======================  ==========================  ==================================================================
`launches`              `live`                      the launches that take room, without their requests
`<job>:<run key>`       `launch <shard> 000001`     a launch, whole
`launch <id>`           `launch`                    which launch has that id
======================  ==========================  ==================================================================

A reservation is written into `live` first, an end of it there last: whoever is killed in between leaves room taken, which is
given back when somebody needs it and finds the task stopped, or none. Whether a reservation is stale is told by the clocks of two
hosts, which may differ by some seconds of STALE; should they differ by more, both launchers ask ECS under the same client token.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

import msgspec

from worker.errors import Transient
from worker.launches import FAILED, LIVE, OVER, PLACED, Asked, Facts, Launch, Reservation, Reserved, decide
from worker.runs import PENDING
from worker.store.items import MOST_BYTES, expiry, packed, run_of, unpacked
from worker.store.table import Table

_LIVE = ("launches", "live")
_TRIES = 200
_PAUSE_S = 0.05

Rows: TypeAlias = dict[str, Launch]
"""Live launches by their ids, oldest first."""


class TableLaunches:
    """The launches of the run store; see `Launches`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def reserve(self, asked: Asked) -> Reservation:
        """Keep room for a launch, or say why not."""
        for _ in range(_TRIES):
            rows, revision = await self._rows()
            answer = decide(asked, await self._facts(asked, rows))
            if not isinstance(answer, Reserved):
                return answer
            launch = answer.launch
            if await self._keep({**rows, launch.id: launch}, revision):
                await self._put(launch)
                return answer
            await asyncio.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - jitter, not a secret
        raise Transient(f"too many launchers at once: {asked.run_id} could not be reserved")

    async def placed(self, launch: Launch, task_arn: str) -> None:
        """Note the task that carries a launch; one that has stopped by now is left so."""
        await self._change(launch, PLACED, "", task_arn, unless=(OVER,))

    async def failed(self, launch: Launch, reason: str) -> None:
        """Give back the room of a launch that no task carries."""
        await self._change(launch, FAILED, reason, None, unless=(PLACED, OVER))

    async def released(self, id: str, reason: str, task_arn: str | None = None) -> Launch | None:  # noqa: A002 - its name
        """Give back the room of a launch whose task has stopped."""
        found = await self._table.get(f"launch {id}", "launch")
        launch = None
        if found is not None:
            launch = _launch(await self._table.get(found["run_id"], _place(found.get("shard", ""), found["number"])))
        if launch is None:  # killed before it was written: what takes the room tells of it
            launch = (await self._rows())[0].get(id)
        return None if launch is None else await self._change(launch, OVER, reason, task_arn, unless=(OVER,))

    async def live(self) -> Sequence[Launch]:
        """Give the launches that take room, oldest first."""
        return list((await self._rows())[0].values())

    async def _facts(self, asked: Asked, rows: Mapping[str, Launch]) -> Facts:
        """Look at the run, after what takes room was read: whatever changes from then on changes that, too."""
        run = run_of(await self._table.get(asked.row, "run"))
        begun = run is not None and not (run.attempt == 0 and run.status == PENDING)
        return Facts(
            now=datetime.now(UTC),
            last=await self._last(asked, rows),
            status=run.status if run is not None and begun else None,
            scope_hash=run.scope_hash if run is not None else None,
            live=list(rows.values()),
        )

    async def _last(self, asked: Asked, rows: Mapping[str, Launch]) -> Launch | None:
        between = (_place(asked.shard, 0), _place(asked.shard, 999_999))
        async for page in self._table.query(("pk", asked.run_id), sk=between, descending=True):
            written = _launch(page[0]) if page else None
            break
        mine = [row for row in rows.values() if (row.run_id, row.shard) == (asked.run_id, asked.shard)]
        taken = max(mine, key=lambda launch: launch.number, default=None)
        if taken is None or (written is not None and written.number >= taken.number and written.state != taken.state):
            return written
        return taken

    async def _change(
        self, launch: Launch, state: str, reason: str, task_arn: str | None, unless: Sequence[str]
    ) -> Launch:
        """Change a launch where it is whole, then give back, or mark, its room."""
        changed = await self._changed(launch, state, reason, task_arn, unless)
        await self._room(lambda rows: _marked(rows, changed))
        if changed.state in LIVE and (now := await self._whole(launch)) and now.state not in LIVE:
            await self._room(lambda rows: _marked(rows, now))  # its end was told between the two writes
        return changed

    async def _changed(
        self, launch: Launch, state: str, reason: str, task_arn: str | None, unless: Sequence[str]
    ) -> Launch:
        while True:
            found = await self._whole(launch)
            changed = found or launch
            if changed.state in unless:
                return changed
            changed = replace(changed, state=state, reason=reason, task_arn=task_arn or changed.task_arn)
            if await self._put(changed, {"state": found.state if found else None}):
                return changed  # else launcher and reporter have news of it at once: look again

    async def _whole(self, launch: Launch) -> Launch | None:
        return _launch(await self._table.get(launch.run_id, _place(launch.shard, launch.number)))

    async def _room(self, change: Callable[[Rows], Rows]) -> None:
        for _ in range(_TRIES):
            rows, revision = await self._rows()
            changed = change(rows)
            if changed == rows or await self._keep(changed, revision):
                return
            await asyncio.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311 - jitter, not a secret
        raise Transient("too many launchers at once: the room of a launch could not be given back")

    async def _put(self, launch: Launch, expect: Mapping[str, Any] | None = None) -> bool:
        told = {**asdict(launch), "request": packed(launch.request), "reserved_at": launch.reserved_at.isoformat()}
        place = {"pk": launch.run_id, "sk": _place(launch.shard, launch.number), "expires": expiry()}
        if not await self._table.put({**told, **place}, expect):
            return False
        named = {"run_id": launch.run_id, "shard": launch.shard, "number": launch.number}
        return await self._table.put({"pk": f"launch {launch.id}", "sk": "launch", "expires": expiry(), **named})

    async def _rows(self) -> tuple[Rows, int | None]:
        item = await self._table.get(*_LIVE) or {}
        rows = msgspec.convert(unpacked(item["live"]) if "live" in item else [], list[Launch])
        return {row.id: row for row in rows}, item.get("revision")

    async def _keep(self, rows: Mapping[str, Launch], revision: int | None) -> bool:
        live = packed([replace(row, request={}) for row in rows.values()])
        if len(live) > MOST_BYTES:
            raise Transient(
                f"{len(rows)} launches are live, and their item has room for no more: lower LAUNCH_MAX_TASKS"
            )
        return await self._table.update(*_LIVE, {"live": live}, {"revision": revision})


def _marked(rows: Rows, launch: Launch) -> Rows:
    if launch.state in LIVE:
        return {**rows, launch.id: replace(launch, request={})}
    return {id_: row for id_, row in rows.items() if id_ != launch.id}


def _place(shard: str, number: int) -> str:
    return f"launch {shard} {number:06d}"


def _launch(item: Mapping[str, Any] | None) -> Launch | None:
    return None if item is None else msgspec.convert({**item, "request": unpacked(item["request"])}, Launch)
