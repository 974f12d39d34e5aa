"""Lines 1 to 4: records a second, of no-op work, of waiting, of page commits, of payments."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bench.contender import rival, worker
from bench.line import Line, Measure, compared, in_turn
from bench.rivals.gets import installed
from bench.world import World


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured, and how often."""

    rounds: int
    close: int
    """Rounds where a target is close: what else the machine does weighs less in the median of more."""
    noop: int
    seconds: float
    writes: int
    payments: int


async def noop(world: World, size: Size) -> list[Line]:
    """Do nothing with many rows: against the naive worker on both loops, and against reading the pages alone."""
    await world.records(size.noop)
    few = size.noop // 5  # it is slow, and its rate does not depend on how long it goes on
    noops = _worker(world, "noop", size.noop)
    naive = _rival("naive", world, few, "--loop", "asyncio"), _rival("naive", world, few)
    ours, usual, same_loop = await in_turn((noops, *naive), size.rounds)
    close, pages = await in_turn((noops, _rival("pages", world, size.noop)), size.close)
    what = f"no-op, {size.noop:,} rows"
    return [
        compared("1", what, ours, "naive worker", usual, at_least=8),
        compared("1", what, ours, "naive worker on uvloop", same_loop),
        compared("1", what, close, "bare asyncpg page loop", pages, at_least=0.85),
    ]


async def waiting(world: World, size: Size) -> list[Line]:
    """Wait 5 ms a record, with few and with many in flight, and with some that take much longer."""
    many, few = int(150_000 * size.seconds), int(10_000 * size.seconds)
    slow = max(6_000, few)  # less, and the last slow one alone would be a large part of the time
    whole_pages = 3_000  # a part of one would wait for its slowest as a whole one does
    await world.records(many)
    delay = ("--delay", "0.005")
    at_1024, naive_1024, at_64, mixed, naive_mixed = await in_turn(
        (
            _worker(world, "wait", many, in_flight=1024),
            _rival("naive", world, many // 3, "--in-flight", "1024", *delay),
            _worker(world, "wait", few),
            _worker(world, "wait", slow, "slow_in=100"),
            _rival("naive", world, whole_pages, "--slow-in", "100", *delay),
        ),
        size.rounds,
    )
    limit = [64 / 0.005] * size.rounds
    return [
        compared("2", "5 ms, 1,024 in flight", at_1024, "naive worker on uvloop", naive_1024, at_least=2.2),
        compared("2", "5 ms, 64 in flight", at_64, "64 / 5 ms", limit, at_least=0.9),
        compared("2", "5 ms, 1 % take 500 ms", mixed, "naive worker on uvloop", naive_mixed, at_least=3),
    ]


async def writing(world: World, size: Size) -> list[Line]:
    """Write a value back for each row, with the page commit around it."""
    ours, bare = await in_turn(
        (
            _after(world.results, size.writes, _worker(world, "record", size.writes)),
            _after(world.results, size.writes, _rival("updates", world, size.writes)),
        ),
        size.rounds,
    )
    return [
        compared(
            "3", f"no-op with page commit, {size.writes:,} rows", ours, "bare UPDATE … unnest", bare, at_least=0.65
        )
    ]


async def payments(world: World, size: Size) -> list[Line]:
    """Run poll-payments as it is shipped, but without its rate limit, against a provider that answers at once."""
    api = ("--api", world.provider.url, "--key", world.provider.api_key)
    clients = [name for name in installed() if name != "pyreqwest"]

    async def ours() -> float:
        return (await worker(world, "poll-payments", WORKER_RATE="0")).rate

    few = size.payments // 4
    polling, getting = _after(world.payments, size.payments, ours), _rival("gets", world, size.payments, *api)
    polled, naive = await in_turn(
        (polling, _after(world.payments, few, _rival("payments", world, few, *api))), size.rounds
    )
    close, gets = await in_turn((polling, getting), size.close)
    by_pyreqwest, *others = await in_turn(
        (getting, *(_rival("gets", world, few, *api, "--client", name) for name in clients)), size.rounds
    )
    lines = [
        compared("4", "poll-payments", polled, "naive aiohttp, UPDATE a row", naive, at_least=4),
        compared("4", "poll-payments", close, "bare GETs by pyreqwest", gets, at_least=0.6),
    ]
    return lines + [
        compared("4", "bare GETs by pyreqwest", by_pyreqwest, f"bare GETs by {name}", seen)
        for name, seen in zip(clients, others, strict=True)
    ]


def _worker(world: World, job: str, rows: int, *scope: str, in_flight: int | None = None) -> Measure:
    tuning = {"WORKER_CONCURRENCY": str(in_flight)} if in_flight else {}

    async def measure() -> float:
        return (await worker(world, job, f"rows={rows}", *scope, **tuning)).rate

    return measure


def _rival(module: str, world: World, rows: int, *arguments: str) -> Measure:
    async def measure() -> float:
        return (await rival(module, "--url", world.url, "--rows", str(rows), *arguments)).rate

    return measure


def _after(fill: Callable[[int], Awaitable[None]], rows: int, measure: Measure) -> Measure:
    """Fill the table anew before each measurement."""

    async def filled() -> float:
        await fill(rows)
        return await measure()

    return filled
