"""Line 5: what a provider sees of the rate limit, over HTTP and in the process, after idling too."""

import asyncio
import json

from bench.contender import output
from bench.line import Line, alone
from bench.sends import TIMER, Seen
from bench.world import ROOT
from worker.local.provider_process import ProviderOptions, ProviderProcess

_OVER_HTTP = (10, 100, 1_000)
_IN_PROCESS = (1_000, 10_000)
_IDLING = (10, 100)
"""Here nearly all that a send costs is waking an idle process: what a bare timer costs beside it is not the limit's."""
_LOOPS = ("asyncio", "uvloop")
_OTHERS = ("AsyncLimiter(R, 1)", "AsyncLimiter(1, 1/R)", "AsyncLimiter(b, b/(R-b))")


async def rates(seconds: float) -> list[Line]:
    """Measure a few at the same time: they wait, they do not compute."""
    over_http = await asyncio.gather(*(_over_http(rate, seconds) for rate in _OVER_HTTP))
    pairs = [(rate, loop) for rate in _IN_PROCESS for loop in _LOOPS]
    in_process = await asyncio.gather(*(_sent(rate, seconds, "--loop", loop) for rate, loop in pairs))
    lines: list[Line] = []
    for rate, seen in zip(_OVER_HTTP, over_http, strict=True):
        lines += _held(f"{rate:,}/s over HTTP", rate, seen)
        lines.append(alone("5", f"{rate:,}/s over HTTP: arrivals in a second / R", [seen.arrived / rate], at_most=1.01))
    for (rate, loop), seen in zip(pairs, in_process, strict=True):
        lines += _held(f"{rate:,}/s in process, {loop}", rate, seen)
        lines.append(alone("5", f"{rate:,}/s in process, {loop}: CPU a send", [seen.cpu_us], unit="µs", at_most=60))
    sides = [(rate, loop, limiter) for rate in _IDLING for loop in _LOOPS for limiter in ("RateLimit(R)", TIMER)]
    figures = iter(await asyncio.gather(*(_sent(a, seconds, "--loop", b, "--limiter", c) for a, b, c in sides)))
    for (rate, loop, _), ours, timer in zip(sides[::2], figures, figures, strict=True):
        lines += _held(f"{rate:,}/s in process, {loop}", rate, ours)
        what = f"{rate:,}/s in process, {loop}: CPU a send, over a bare timer's {timer.cpu_us:.0f}"
        lines.append(alone("5", what, [ours.cpu_us - timer.cpu_us], unit="µs", at_most=60))
    others = await asyncio.gather(*(_sent(1_000, seconds, "--limiter", name) for name in _OTHERS))
    for name, seen in zip(_OTHERS, others, strict=True):
        lines.append(alone("5", f"{name} at 1,000/s: most in a second / R", [seen.most / 1_000]))
        lines.append(alone("5", f"{name} at 1,000/s: mean / R", [seen.mean]))
    return lines


def _held(what: str, rate: int, seen: Seen) -> list[Line]:
    return [
        alone("5", f"{what}: most sends in a second / R", [seen.most / rate], at_most=1),
        alone("5", f"{what}: mean / R", [seen.mean], at_least=0.99),
        alone("5", f"{what}: overtaken", [seen.overtaken], at_most=0),
    ]


async def _over_http(rate: int, seconds: float) -> Seen:
    async with ProviderProcess(ProviderOptions(rate=0, delay=0.0, fail=0.0)) as provider:
        return await _sent(rate, seconds, "--api", provider.url, "--key", provider.api_key)


async def _sent(rate: int, seconds: float, *arguments: str) -> Seen:
    told = await output(
        *("-m", "bench.sends", "--rate", str(rate), "--seconds", str(seconds), *arguments), room=ROOT, environment={}
    )
    return Seen(**json.loads(told[-1]))
