"""A plan against what happens: canaries and whole runs of the real engine in virtual time, in one task and in shards."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from fakes import Batches, Row, Rows, engine_over, now, virtually
from test_sharing import Store

from worker.engine import Engine
from worker.events import Start, Summary, Task
from worker.ledger import Batch, Committed
from worker.limits import Limits, Rate
from worker.outcome import done
from worker.plan import Measured, Plan, Work, measured, plan
from worker.runs import RunView
from worker.shards import Shard
from worker.sharing import Sharing
from worker.size import Size
from worker.verdict import Verdict

CANARY = 500


class Core:
    """A task's CPU: one thing at a time."""

    def __init__(self, speed: float) -> None:
        self._one, self._speed = asyncio.Lock(), speed
        self.used_s = 0.0

    async def work(self, seconds: float) -> None:
        """Use it, when it is free."""
        async with self._one:
            self.used_s += seconds
            await asyncio.sleep(seconds / self._speed)


class Table(Batches):
    """A sink that takes its time, and what the database needs for the rows of all tasks."""

    def __init__(self, delay_s: float, database: Core, a_row_s: float) -> None:
        super().__init__(delay_s=delay_s, keeps=False)
        self._database, self._a_row_s = database, a_row_s

    async def commit(self, batch: Batch, *how: Any) -> Committed:
        """Write the rows when the database is free, then commit."""
        if self._a_row_s:
            await self._database.work(len(batch.results) * self._a_row_s)
        return await super().commit(batch, *how)


@dataclass(frozen=True, kw_only=True)
class World:
    """How long things take."""

    limits: Limits
    record_s: float = 0.05
    cpu_s: float = 0.0001
    page_s: float = 0.01
    commit_s: float = 0.01
    cpu: int = 1024
    writes: float | None = None

    async def run(self, records: int, shards: int = 1) -> tuple[float, list[Engine], float]:
        """Work on so many records in so many tasks; give the time, what has worked, and the CPU that it took."""
        async with AsyncExitStack() as opened:
            store, database = Store(), Core(1.0)
            parts = [Shard(number, shards) for number in range(1, shards + 1)]
            tasks = [await self._task(records, part, store, database, opened) for part in parts]
            began = now()
            await asyncio.gather(*(engine.work() for engine, _ in tasks))
            took = now() - began
        return took, [engine for engine, _ in tasks], sum(core.used_s for _, core in tasks)

    async def _task(
        self, records: int, shard: Shard, store: Store, database: Core, opened: AsyncExitStack
    ) -> tuple[Engine, Core]:
        core, limits = Core(self.cpu / 1024), shard.limits(self.limits)
        source = Rows(range(shard.share(records)), delay_s=self.page_s)
        table = Table(self.commit_s, database, 1 / self.writes if self.writes else 0.0)
        engine = engine_over(source, self._process(core), table, limits=limits)
        for rate in (rate for rate in limits.named if rate.shared):
            sharing = Sharing(rate, engine._rates[rate.name], store, logging.getLogger("job"), now)
            await sharing.ask()
            keeping = asyncio.create_task(sharing.keep())
            opened.push_async_callback(sharing.leave)
            opened.callback(keeping.cancel)
        return engine, core

    def _process(self, core: Core) -> Callable[[Row], Awaitable[Any]]:
        async def process(row: Row) -> Any:
            await core.work(self.cpu_s)
            await asyncio.sleep(self.record_s)
            return done()

        return process

    async def planned(self, records: int) -> Plan:
        """Plan a run from a canary."""
        size = Size(cpu=self.cpu, memory=2048)
        known = await self.canary()
        return plan(
            Work(
                job="job",
                records=records,
                limits=self.limits,
                measured=known,
                timeout_s=3600,
                size=size,
                writes=self.writes,
            )
        )

    async def canary(self) -> Measured:
        """Work on a few records, and look at what the run store would be told."""
        took, [engine], cpu_s = await self.run(CANARY)
        summary = Summary(
            start=Start(
                job="job",
                run_id="job:canary",
                run_key="canary",
                attempt=1,
                started_at=datetime.now(UTC),
                limits=self.limits,
                task=Task(cpu_limit=self.cpu / 1024),
            ),
            verdict=Verdict.SUCCEEDED,
            ended_at=datetime.now(UTC),
            duration_s=took,
            tally=engine.ledger.tally,
            spent=replace(engine.spent, cpu_s=cpu_s),
        )
        view = RunView(
            run_id="job:canary",
            job="job",
            run_key="canary",
            status="succeeded",
            created_at=datetime.now(UTC),
            summary=msgspec.to_builtins(summary),
        )
        known = measured([view])
        assert known is not None
        return known


SHAPES = {
    "rate": World(limits=Limits(concurrency=64, rate=Rate(90), page_size=100)),
    "concurrency": World(limits=Limits(concurrency=16, rate=Rate(500), page_size=100), record_s=0.2),
    "CPU": World(limits=Limits(concurrency=64, page_size=100), cpu_s=0.004, record_s=0.01),
    "CPU of half a core": World(limits=Limits(concurrency=64, page_size=100), cpu_s=0.004, cpu=512),
    "reading": World(limits=Limits(concurrency=64, page_size=20), page_s=0.1),
    "page commits": World(limits=Limits(concurrency=64, page_size=10), commit_s=0.1, record_s=0.001),
    "database": World(limits=Limits(concurrency=64, page_size=10), writes=150, record_s=0.01),
    "rate stripe": World(limits=Limits(concurrency=64, rate=Rate(90, name="stripe", shared=True), page_size=100)),
}


@pytest.mark.parametrize(
    ("shape", "shards"),
    [(shape, shards) for shape in SHAPES for shards in (1, 3) if (shape, shards) != ("database", 1)],  # its own commits
)
def test_plan_is_what_happens(shape: str, shards: int) -> None:
    """The canary's figures foretell how long many more records take, within a few per cent, and what they wait for."""
    world, records = SHAPES[shape], 1_200

    async def scenario() -> None:
        way = (await world.planned(records)).among(shards).ways[-1]
        took, *_ = await world.run(records, shards)
        print(f"{shape}, {shards}: planned {way.work_s:.1f} s, took {took:.1f} s")
        assert shape.startswith(way.limited_by)
        assert way.work_s == pytest.approx(took, rel=0.05)

    virtually(scenario())


@pytest.mark.parametrize(("shards", "part"), [(16, "CPU"), (40, "database")])
def test_plan_of_a_billion_holds_in_small(shards: int, part: str) -> None:
    """The plan on paper of docs/scale.md, a hundred times slower: 20 shards are enough, and so long do 16 and 40 of them take."""
    slower, records = 100, 6_000
    limits = Limits(concurrency=400, page_size=5)
    world = World(limits=limits, record_s=0.15, cpu_s=0.0002 * slower, cpu=512, writes=50_000 / slower)

    async def scenario() -> None:
        made = await world.planned(10**9)
        assert made.enough in (19, 20)
        way = made.among(shards).ways[-1]
        took, *_ = await world.run(records, shards)
        print(f"{shards} shards: planned {way.per_second:.0f}/s, was {records / took:.0f}/s")
        assert way.limited_by == part
        assert way.per_second == pytest.approx(records / took, rel=0.05)

    virtually(scenario())
