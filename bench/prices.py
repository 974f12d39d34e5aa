"""Line 8: what each guarantee costs a record on the no-op path, found by taking its lines out of the engine's loop.

The loop is the product's own text, less the lines of one guarantee, compiled anew: nothing of the worker can be switched off. What is
looked at once for many records is had for nothing by looking for no record: limits, what comes first, a stop.
"""

import inspect
import statistics
from collections.abc import Callable, Mapping
from typing import Any, cast
from unittest.mock import patch

from bench import inside
from bench.line import Line, alone
from worker import engine
from worker.engine import Engine

_LOOKS = f"rate limit, stop, and what comes before the next row: one look in {engine._MANY} records"
_NO_LOOKS = 10**9
_TAKEN, _STARTED = "slot.taken, slot.started = again or record, None", "slot.taken = again or record"
_GUARANTEES: Mapping[str, Mapping[str, str]] = {
    "checkpoint: open keys": {_TAKEN: "slot.started = None"},
    "record deadline": {_TAKEN: _STARTED, "                if slot.expired:": "                if False:"},
    "age and breath: a look at the clock": {
        "                if clock() > self._straight_until:": "                if False:"
    },
    "tally": {"                        ledger.tally.done += 1\n": "                        pass\n"},
}
_ALL = {_TAKEN: "pass"} | {old: new for lines in _GUARANTEES.values() for old, new in lines.items() if old != _TAKEN}


def prices(records: int, rounds: int) -> list[Line]:
    """Measure the whole loop, the loop less each guarantee, and the loop less all, in turn."""
    source = inspect.getsource(Engine._serve)
    whole, often = Engine._serve, engine._MANY
    loops = {"": (whole, often), **{name: (_without(source, lines), often) for name, lines in _GUARANTEES.items()}}
    loops |= {_LOOKS: (whole, _NO_LOOKS), "all of it": (_without(source, _ALL), _NO_LOOKS)}
    seen: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(rounds):
        for name, (loop, many) in loops.items():
            with patch.object(Engine, "_serve", loop), patch.object(engine, "_MANY", many):
                seen[name].append(inside.seconds(records) / records * 1e6)
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
