"""Compare each AWS source, with the whole engine over it, with a bare aiobotocore loop over the same: it is to reach 0.8 of that.

Each `source_<name>.py` beside this makes one `Comparison`.
"""

import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from bench.inside import Noop, Nowhere
from bench.line import Line, compared, in_turn
from bench.world import ROOT
from worker.budget import ErrorBudget
from worker.engine import Engine
from worker.events import Reporter
from worker.job import Run
from worker.ledger import Ledger
from worker.limits import Limits
from worker.mask import Mask
from worker.rate import RateLimit
from worker.scope import Scope
from worker.source import Acknowledging, Source
from worker.stop import Stop, StopPlan
from worker.tally import Tally

LIMITS = Limits(page_size=500)
ENVIRONMENT = {
    "AWS_REGION": "eu-central-1",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "PYTHONPATH": str(ROOT),  # the servers are programs of their own
}


class Comparison(Protocol):
    """A source and what would be written without it; entering it starts the servers and sets AWS_ENDPOINT_URL."""

    async def fill(self, records: int) -> None:
        """Have so many records there, before either side."""
        ...

    def source(self, run: Run[Any]) -> Source:
        """Give the source, as a job does."""
        ...

    async def bare(self) -> int:
        """Read them all; give how many there were."""
        ...


async def through_the_engine(comparison: Comparison) -> float:
    """Work on all records of the source; give the records a second, once its client is open."""
    run: Run[Any] = Run("noop", "bench", Scope(), limits=LIMITS)
    source = comparison.source(run)
    assert await source.check() == []
    ledger = Ledger(
        keeps_results=False,
        keeps_records=isinstance(source, Acknowledging),
        encode=source.encode,
        budget=ErrorBudget(),
        before=Tally(),
        mask=Mask(),
        on_group=lambda group: None,
    )
    engine = Engine(
        Noop(),
        run,
        source,
        Nowhere(),
        ledger=ledger,
        limits=LIMITS,
        rates={"rate": RateLimit(None)},
        stop=Stop(),
        plan=StopPlan.within(30),
        reporter=Reporter(),
    )
    async with run.resources:
        began = time.perf_counter()
        await engine.work()
        return ledger.saved.done / (time.perf_counter() - began)


async def through_the_loop(comparison: Comparison) -> float:
    """Read all records without the source; give the records a second."""
    began = time.perf_counter()
    read = await comparison.bare()
    return read / (time.perf_counter() - began)


async def sources(records: int, rounds: int) -> list[Line]:
    """Compare them all."""
    os.environ.update(ENVIRONMENT)
    found = sorted(file.stem.removeprefix("source_") for file in Path(__file__).parent.glob("source_*.py"))
    return [await _compared(name, records, rounds) for name in found]


async def _compared(name: str, records: int, rounds: int) -> Line:
    async with import_module(f"bench.source_{name}").comparison() as comparison:

        async def filled(side: Callable[[Comparison], Awaitable[float]]) -> float:
            await comparison.fill(records)
            return await side(comparison)

        sides = (partial(filled, through_the_engine), partial(filled, through_the_loop))
        engine, bare = await in_turn(sides, rounds)
    return compared("sources", f"{name}, through the engine", engine, "bare aiobotocore", bare, at_least=0.8)
