"""Compare each AWS source, with the whole engine over it, with a bare aiobotocore loop over the same: it is to reach 0.8 of that.

Each `source_<name>.py` beside this has one `Comparison`. Prints the median records a second of both, in turn in one process,
and their ratio.
"""

import argparse
import asyncio
import os
import statistics
import time
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import uvloop

from bench.inside import Noop, Nowhere
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


async def compare(name: str, made: AbstractAsyncContextManager[Comparison], records: int, rounds: int) -> None:
    """Measure both sides in turn, and print it."""
    bare, engine = list[float](), list[float]()
    async with made as comparison:
        for _ in range(rounds):
            await comparison.fill(records)
            bare.append(await through_the_loop(comparison))
            await comparison.fill(records)
            engine.append(await through_the_engine(comparison))
    ratio = statistics.median(engine) / statistics.median(bare)
    print(f"{name:10}  {statistics.median(bare):>10,.0f}/s  {statistics.median(engine):>10,.0f}/s  {ratio:6.2f}")


def main() -> None:
    """Compare them all, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sources (all)")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = sorted(file.stem.removeprefix("source_") for file in Path(__file__).parent.glob("source_*.py"))
    os.environ.update(ENVIRONMENT)
    print(f"{'':10}  {'bare':>12}  {'engine':>12}  ratio")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name in options.names or found:
            made = import_module(f"bench.source_{name}").comparison()
            runner.run(compare(name, made, options.records, options.rounds))


if __name__ == "__main__":
    main()
