"""Line 8: what each guarantee costs a record on the no-op path, found by taking its lines out of the engine's loop.

The loop is the product's own text, less the lines of one guarantee, compiled anew: nothing of the worker can be switched off.
"""

import inspect
import statistics
from collections.abc import Callable, Mapping
from typing import Any, cast

from bench import inside
from bench.line import Line, alone
from worker import engine
from worker.engine import Engine

_CLOCK = {"            now = clock()\n            if now": "            now = 0.0\n            if now"}
_GUARANTEES: Mapping[str, Mapping[str, str]] = {
    "rate limit": {" and gate.credit > 1.0": "", "                gate.credit -= 1.0\n": ""},
    "a look at the clock: age, deadline, breath": _CLOCK,
    "freshness, and what comes before the next row": {
        "now < self._straight_until and ": "",
        "                supply.taken_at = now\n": "",
        "                read_at = supply.read_at\n": "                read_at = 0.0\n",
    },
    "checkpoint: cursor, open keys, record deadline": {
        "supply.last = taken = record": "taken = record",
        "            slot.started, slot.taken = now, taken\n": "",
        "            if slot.expired:": "            if False:",
    },
    "tally": {"                    ledger.tally.done += 1\n": "                    pass\n"},
    "retries, error budget, throttling": {"                self._throttles = 0\n": "", " and plain": ""},
    "stop": {"not self._ending and stop.reason is None": "True"},
    "page commit falling due": {"            if ledger.uncommitted >= self._enough": "            if False"},
}


def prices(records: int, rounds: int) -> list[Line]:
    """Measure the whole loop, the loop less each guarantee, and the loop less all, in turn."""
    source = inspect.getsource(Engine._serve)
    everything = {old: new for lines in _GUARANTEES.values() for old, new in lines.items()}
    whole = Engine._serve
    loops = {"": whole, **{name: _without(source, lines) for name, lines in _GUARANTEES.items()}}
    loops["all of it"] = _without(source, everything)
    seen: dict[str, list[float]] = {name: [] for name in loops}
    try:
        for _ in range(rounds):
            for name, loop in loops.items():
                Engine._serve = loop  # type: ignore[method-assign]
                seen[name].append(inside.seconds(records) / records * 1e6)
    finally:
        Engine._serve = whole  # type: ignore[method-assign]
    full = seen.pop("")
    lines = [alone("8", "the engine, a record", full, unit="µs")]
    for name, without in seen.items():
        saved = [max(0.0, statistics.median(full) - one) for one in without]
        most = 0.4 if name == "all of it" else None
        lines.append(alone("8", f"price of: {name}", saved, unit="µs", at_most=most))
    return lines


def _without(source: str, lines: Mapping[str, str]) -> Callable[..., Any]:
    """Compile the loop without some of its lines; a text that is not in it any more is an error of this file."""
    for old, new in lines.items():
        if old not in source:
            raise SystemExit(f"bench/prices.py takes {old!r} out of Engine._serve, which has no such text (any more)")
        source = source.replace(old, new)
    found: dict[str, Any] = {}
    exec(f"if True:\n{source}", vars(engine), found)
    return cast("Callable[..., Any]", found["_serve"])
