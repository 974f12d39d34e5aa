"""Compare rate limits as a provider would see them: 64 waiters, each sends as soon as it may.

Prints, for each limit and loop: the most sends in any window of one second, the mean share of the limit that was used, the CPU
time a send, and how many waiters were overtaken by a later one.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import uvloop
from aiolimiter import AsyncLimiter

from worker.limits import Rate
from worker.rate import RateLimit

WAITERS = 64

Acquire = Callable[[], Awaitable[None]]
LIMITERS: dict[str, Callable[[int], Acquire]] = {
    "worker.rate.RateLimit(R)": lambda rate: RateLimit(Rate(rate)).acquire,
    "AsyncLimiter(R, 1)": lambda rate: AsyncLimiter(rate, 1).acquire,
    "AsyncLimiter(1, 1/R)": lambda rate: AsyncLimiter(1, 1 / rate).acquire,
    "AsyncLimiter(b, b/(R-b)), b=R/100": lambda rate: (
        AsyncLimiter(max(1, rate // 100), max(1, rate // 100) / (rate - max(1, rate // 100))).acquire
    ),
}


class Seen(NamedTuple):
    """What came of one measurement."""

    most: int
    mean: float
    cpu_us: float
    overtaken: int


async def measure(make: Callable[[int], Acquire], rate: int, seconds: float) -> Seen:
    """Send for so long through a limiter and look at when the sends were."""
    acquire = make(rate)
    sends: list[float] = []
    overtaken = asked = last = 0
    until = time.monotonic() + seconds

    async def send() -> None:
        nonlocal overtaken, asked, last
        while time.monotonic() < until:
            asked += 1
            turn = asked
            await acquire()
            sends.append(time.monotonic())
            overtaken += turn < last
            last = max(last, turn)

    cpu = time.process_time()
    tasks = [asyncio.create_task(send()) for _ in range(WAITERS)]
    await asyncio.sleep(seconds)
    cpu = time.process_time() - cpu
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    sends = [sent for sent in sends if sent < until]
    steady = [sent for sent in sends if sent >= sends[0] + 1.0]  # a limiter may begin with a burst
    return Seen(most_in_a_window(sends), len(steady) / (seconds - 1.0) / rate, cpu / len(sends) * 1e6, overtaken)


def most_in_a_window(sends: list[float], window: float = 1.0) -> int:
    """Count the most sends in any half-open window."""
    most = first = 0
    for position, sent in enumerate(sends):
        while sends[first] <= sent - window:
            first += 1
        most = max(most, position - first + 1)
    return most


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rates", type=int, nargs="+", default=[10, 100, 1000])
    options = parser.parse_args()
    print(f"{'limit':<36}{'R':>6}  {'loop':<8}{'most/s':>7}{'mean':>9}{'µs/send':>9}{'overtaken':>11}")
    for rate in options.rates:
        for name, make in LIMITERS.items():
            for loop, factory in (("asyncio", asyncio.new_event_loop), ("uvloop", uvloop.new_event_loop)):
                with asyncio.Runner(loop_factory=factory) as runner:
                    seen = runner.run(measure(make, rate, options.seconds))
                print(
                    f"{name:<36}{rate:>6}  {loop:<8}{seen.most:>7}{seen.mean:>9.1%}{seen.cpu_us:>9.0f}{seen.overtaken:>11}"
                )


if __name__ == "__main__":
    main()
