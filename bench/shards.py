"""Line shards: what a second core is worth to work that is bound by the first."""

from bench.contender import worker
from bench.line import Line, compared, in_turn
from bench.world import World


async def shards(world: World, rows: int, rounds: int) -> list[Line]:
    """Use a millisecond of CPU a record, in one process and in two: from the first claim to the run's end."""
    await world.records(rows)

    async def two() -> float:
        return (await worker(world, "burn", f"rows={rows}", flags=("--shards", "2"))).rate

    async def one() -> float:
        return (await worker(world, "burn", f"rows={rows}")).rate

    ours, alone = await in_turn((two, one), rounds)
    return [
        compared("shards", f"1 ms of CPU a record, {rows:,} rows, 2 processes", ours, "1 process", alone, at_least=1.6)
    ]
