"""Answer requests as Stripe's API does: what it says to a key, a path and a limit, without the HTTP around it."""

import math
import re
from collections import Counter
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from msgspec import Struct
from msgspec.json import encode

from worker.local.fate import failing_tries, fate
from worker.local.provider_counts import Arrivals, Calls, Window
from worker.local.provider_customers import Customers
from worker.local.provider_intent import body, intent

INTENTS = "/v1/payment_intents"
CUSTOMERS = "/v1/customers"
_ONE = f"{INTENTS}/"
_FOR_EVER = 2**53
_ID = re.compile(r"pi_\w+", re.ASCII)


class Answer(NamedTuple):
    """A status, a JSON body, and the header lines beyond those that every answer has."""

    status: int
    body: bytes
    headers: bytes = b""


class Behaviour(Struct, kw_only=True):
    """How the provider behaves: `rate` calls a second (0: no limit), `delay` seconds an answer, `fail` a share of tries."""

    rate: int = 0
    delay: float = 0.0
    fail: float = 0.0
    down: bool = False
    throttle_until: float = 0.0


class Simulator:
    """The provider's side of its API: its payments, its key, its limit, and what it has counted."""

    def __init__(self, behaviour: Behaviour | None = None, seed: int = 7) -> None:
        self.behaviour = behaviour or Behaviour()
        self.seed = seed
        self.api_key = f"sk_test_{fate(seed, 'api key').number:016x}"
        self.customers = Customers(seed)
        self.arrivals = Arrivals()
        self.calls = Calls()
        self.admitted = Window()
        self.violations = 0
        self.by_status: Counter[str] = Counter()

    def answer(self, method: str, target: str, key: str | None) -> Answer | None:
        """Answer one request; None: cut the connection, the provider is down."""
        now = monotonic()
        self.arrivals.add(now)
        answer = None if self.behaviour.down else self._answer(method, target, key, now)
        self.by_status["cut" if answer is None else str(answer.status)] += 1
        return answer

    def _answer(self, method: str, target: str, key: str | None, now: float) -> Answer:
        if key != self.api_key:
            return _refused_key(key)
        pause = self._pause(now)
        if pause > 0:
            return _throttled(pause)
        path, _, query = target.partition("?")
        if method == "GET" and path.startswith(_ONE) and len(path) > len(_ONE):
            return self._one(unquote(path[len(_ONE) :]))
        if method == "GET" and path == INTENTS:
            return self._list(query)
        if method == "GET" and path == CUSTOMERS:
            return self._customers(target, query)
        if method == "GET" and path.startswith(f"{CUSTOMERS}/"):
            return self._customer(unquote(path[len(CUSTOMERS) + 1 :]))
        return _unknown_url(method, path)

    def _pause(self, now: float) -> float:
        """Say for how many seconds the caller must stay away; a call within the limit is admitted."""
        behaviour = self.behaviour
        if now < behaviour.throttle_until:
            return behaviour.throttle_until - now
        if not behaviour.rate:
            return 0.0
        pause = self.admitted.free_in(now, behaviour.rate)
        if pause > 0:
            self.violations += 1
        else:
            self.admitted.add(now)
        return pause

    def _one(self, ref: str) -> Answer:
        known = fate(self.seed, ref)
        if self.calls.add(ref) <= failing_tries(known.trouble, self.behaviour.fail):
            return _stumbled()
        if known.status is None or not _ID.fullmatch(ref):
            return _missing("payment_intent", "intent", ref)
        return Answer(200, body(ref, known))

    def _list(self, query: str) -> Answer:
        """List the latest payments; of Stripe's parameters only `limit`."""
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        unknown = [name for name in parameters if name != "limit"]
        limit = parameters.get("limit", "10")
        if unknown:
            return _invalid(f"Received unknown parameter: {unknown[0]}", unknown[0], "parameter_unknown")
        if not limit.isdecimal() or not 1 <= int(limit) <= 100:
            return _invalid(f"Invalid integer: {limit}", "limit", "parameter_invalid_integer")
        refs = (f"pi_{fate(self.seed, f'payment {number}').number:016x}" for number in range(int(limit)))
        found = [(ref, fate(self.seed, ref)) for ref in refs]
        data = [intent(ref, known.status, known.number) for ref, known in found if known.status]
        return Answer(200, encode({"object": "list", "url": INTENTS, "has_more": True, "data": data}))

    def _customers(self, target: str, query: str) -> Answer:
        """List customers; of Stripe's parameters those that a sync needs."""
        asked = dict(parse_qsl(query, keep_blank_values=True))
        after = asked.pop("starting_after", None)
        numbers = {"limit": 10, "created[gte]": 0, "created[lte]": _FOR_EVER}
        for name, value in asked.items():
            if name not in numbers:
                return _invalid(f"Received unknown parameter: {name}", name, "parameter_unknown")
            if not value.isdecimal() or (name == "limit" and not 1 <= int(value) <= 100):
                return _invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer")
            numbers[name] = int(value)
        if self._stumbles(target):
            return _stumbled()
        if after is not None and not self.customers.listed(after):
            return _invalid(f"No such customer: '{after}'", "starting_after", "resource_missing")
        data, more = self.customers.page(numbers["limit"], after, numbers["created[gte]"], numbers["created[lte]"])
        return Answer(200, encode({"object": "list", "url": CUSTOMERS, "has_more": more, "data": data}))

    def _customer(self, ref: str) -> Answer:
        if self._stumbles(ref):
            return _stumbled()
        found = self.customers.one(ref)
        return Answer(200, found) if found is not None else _missing("customer", "id", ref)

    def _stumbles(self, ref: str) -> bool:
        return self.calls.add(ref) <= failing_tries(fate(self.seed, ref).trouble, self.behaviour.fail)


def _error(status: int, error: dict[str, Any], headers: bytes = b"") -> Answer:
    if "code" in error:
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{error['code'].replace('_', '-')}"
    return Answer(status, encode({"error": error}), headers)


def _refused_key(key: str | None) -> Answer:
    if not key:
        message = "You did not provide an API key: send it in the Authorization header, using Bearer auth."
    else:
        message = f"Invalid API Key provided: {key[:8]}{'*' * 8}{key[-4:]}"
    return _error(
        401, {"message": message, "type": "invalid_request_error"}, b'WWW-Authenticate: Bearer realm="Stripe"\r\n'
    )


def _throttled(pause: float) -> Answer:
    headers = b"Retry-After: %d\r\nStripe-Should-Retry: true\r\n" % max(1, math.ceil(pause))
    error = {"code": "rate_limit", "message": "Request rate limit exceeded.", "type": "invalid_request_error"}
    return _error(429, error, headers)


def _stumbled() -> Answer:
    error = {"message": "An unknown error occurred. Please try again.", "type": "api_error"}
    return _error(500, error, b"Stripe-Should-Retry: true\r\n")


def _missing(kind: str, param: str, ref: str) -> Answer:
    return _error(404, _fault(f"No such {kind}: '{ref}'", param, "resource_missing"))


def _invalid(message: str, param: str, code: str) -> Answer:
    return _error(400, _fault(message, param, code))


def _fault(message: str, param: str, code: str) -> dict[str, Any]:
    return {"code": code, "message": message, "param": param, "type": "invalid_request_error"}


def _unknown_url(method: str, path: str) -> Answer:
    message = (
        f"Unrecognized request URL ({method}: {path}). Please make sure you passed a valid (non-empty) identifier."
    )
    return _error(404, {"message": message, "type": "invalid_request_error"})
