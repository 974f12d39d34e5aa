"""Let a test look into the simulator and change how it behaves, under /_simulator."""

from time import monotonic
from typing import Any
from urllib.parse import parse_qs

from msgspec import UNSET, DecodeError, Struct, UnsetType
from msgspec.json import decode, encode

from worker.local.provider_answers import Answer, Simulator

CONTROL = "/_simulator"


class Change(Struct, forbid_unknown_fields=True):
    """What a PUT may change; `throttle_for` answers 429 to everything for that many seconds, `customers` is how many there are."""

    down: bool | UnsetType = UNSET
    throttle_for: float | UnsetType = UNSET
    delay: float | UnsetType = UNSET
    rate: int | UnsetType | None = UNSET
    fail: float | UnsetType = UNSET
    customers: int | UnsetType = UNSET


def control(simulator: Simulator, method: str, target: str, body: bytes) -> Answer:
    """Answer a request about the simulator itself; it counts for nothing."""
    path, _, query = target.partition("?")
    match method, path.removeprefix(CONTROL):
        case "GET", "":
            return _said(200, counts(simulator))
        case "PUT", "":
            return _changed(simulator, body)
        case "GET", "/calls":
            ref = "".join(parse_qs(query).get("ref", ()))
            return _said(200, {"ref": ref, "calls": simulator.calls.of(ref)})
        case "GET", "/arrivals":
            return _said(200, {"now": monotonic(), "arrivals": list(simulator.arrivals.recent)})
    return _said(404, {"error": f"the simulator has no {method} {path}"})


def counts(simulator: Simulator) -> dict[str, Any]:
    """Give what the simulator has counted since it started."""
    return {
        "requests": simulator.arrivals.total,
        "refused": simulator.by_status["429"],
        "most_in_a_second": simulator.arrivals.most_in_a_second,
        "rate": simulator.behaviour.rate or None,
        "violations": simulator.violations,
        "by_status": dict(simulator.by_status),
    }


def _changed(simulator: Simulator, body: bytes) -> Answer:
    try:
        change = decode(body, type=Change)
    except DecodeError as error:
        return _said(400, {"error": str(error)})
    _apply(simulator, change)
    return _said(200, counts(simulator))


def _apply(simulator: Simulator, change: Change) -> None:
    behaviour = simulator.behaviour
    if change.down is not UNSET:
        behaviour.down = change.down
    if change.throttle_for is not UNSET:
        behaviour.throttle_until = monotonic() + change.throttle_for
    if change.delay is not UNSET:
        behaviour.delay = change.delay
    if change.rate is not UNSET:
        behaviour.rate = change.rate or 0
    if change.fail is not UNSET:
        behaviour.fail = change.fail
    if change.customers is not UNSET:
        simulator.customers.have(change.customers)


def _said(status: int, content: dict[str, Any]) -> Answer:
    return Answer(status, encode(content))
