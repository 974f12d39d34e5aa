"""Send through a rate limit from 64 waiters, idle, send again; print what a provider would have seen of it, as JSON."""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import partial

from aiolimiter import AsyncLimiter

from bench.rivals.told import LOOPS
from worker.clients.http import Http
from worker.job import Run
from worker.limits import Rate
from worker.rate import RateLimit
from worker.scope import Scope

WAITERS = 64
_IDLE_S = 1.2
_BEGINNING_S = 1.0
"""So long the start of the waiters, and the burst with which a limiter may begin, are no part of what a send costs."""
_NOTICED_S = 0.001
"""Who is granted a permit together with others may be first or last to run; only who is this much later was overtaken."""

Acquire = Callable[[], Awaitable[None]]
TIMER = "asyncio.sleep(1/R)"
"""No limiter, but what waking an idle process costs by itself; it is one waiter's."""
LIMITERS: dict[str, Callable[[int], Acquire]] = {
    TIMER: lambda rate: partial(asyncio.sleep, 1 / rate),
    "RateLimit(R)": lambda rate: RateLimit(Rate(rate)).acquire,
    "AsyncLimiter(R, 1)": lambda rate: AsyncLimiter(rate, 1).acquire,
    "AsyncLimiter(1, 1/R)": lambda rate: AsyncLimiter(1, 1 / rate).acquire,
    "AsyncLimiter(b, b/(R-b))": lambda rate: (
        AsyncLimiter(max(1, rate // 100), max(1, rate // 100) / (rate - max(1, rate // 100))).acquire
    ),
}


@dataclass(slots=True)
class Seen:
    """What came of it: the most sends and arrivals in any second, the share of the rate that was used, CPU a send."""

    most: int
    arrived: int
    mean: float
    cpu_us: float
    overtaken: int


async def measure(acquire: Acquire, rate: int, seconds: float, api: str, key: str, waiters: int = WAITERS) -> Seen:
    """Send for so long twice, with nothing in between; over HTTP where there is an address."""
    sends: list[tuple[int, float]] = []
    asked = 0

    async def permit() -> None:
        nonlocal asked
        asked += 1
        turn = asked
        await acquire()
        sends.append((turn, time.monotonic()))

    run = Run("bench", "sends", Scope(), permits={"api": permit})
    async with Http(
        run, base_url=api or "http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}, limit="api"
    ) as http:

        async def send() -> None:
            while True:
                await (http.get("/v1/payment_intents", params={"limit": 1}) if api else permit())

        if api:  # as a job's `check` does: what a client makes ready for its first call does not come between permit and send
            await http.get("/v1/payment_intents", params={"limit": 1})
            sends.clear()
        cpu, counted, means, began = 0.0, 0, [], time.monotonic()
        for idle_s in (0.0, _IDLE_S):
            await asyncio.sleep(idle_s)
            first = len(sends)
            tasks = [asyncio.create_task(send()) for _ in range(waiters)]
            await asyncio.sleep(min(_BEGINNING_S, seconds / 2))
            cpu, counted = cpu - time.process_time(), counted - len(sends)
            await asyncio.sleep(seconds - min(_BEGINNING_S, seconds / 2))
            cpu, counted = cpu + time.process_time(), counted + len(sends)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            phase = sorted(sent for _, sent in sends[first:])
            steady = [
                sent for sent in phase if sent >= phase[0] + min(_BEGINNING_S, seconds / 2)
            ]  # a limiter may begin with a burst
            means.append((len(steady) - 1) / (steady[-1] - steady[0]) / rate)
        arrivals = (await http.get("/_simulator/arrivals")).json()["arrivals"] if api else []
    times = sorted(sent for _, sent in sends)
    return Seen(
        most_in_a_window(times),
        most_in_a_window([moment for moment in arrivals if moment >= began]),
        min(means),
        cpu / counted * 1e6,
        overtaken(sends),
    )


def most_in_a_window(moments: list[float], window: float = 1.0) -> int:
    """Count the most moments in any half-open window."""
    most = first = 0
    for position, moment in enumerate(moments):
        while moments[first] <= moment - window:
            first += 1
        most = max(most, position - first + 1)
    return most


def overtaken(sends: list[tuple[int, float]]) -> int:
    """Count who sent noticeably later than somebody who had asked after him."""
    count, soonest = 0, float("inf")
    for _, sent in sorted(sends, reverse=True):
        count += sent > soonest + _NOTICED_S
        soonest = min(soonest, sent)
    return count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limiter", choices=LIMITERS, default="RateLimit(R)")
    parser.add_argument("--loop", choices=LOOPS, default="uvloop")
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--api", default="")
    parser.add_argument("--key", default="")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=LOOPS[options.loop]) as runner:
        limiter = LIMITERS[options.limiter](options.rate)
        waiters = 1 if options.limiter == TIMER else WAITERS
        seen = runner.run(measure(limiter, options.rate, options.seconds, options.api, options.key, waiters))
    print(json.dumps(asdict(seen)))
