"""Ask Stripe: a typed client for the calls that jobs need, over the HTTP client that jobs are given."""

import asyncio
from typing import Any, Literal, TypeAlias, TypedDict

import msgspec

from worker.clients.http import ANY_STATUS, Http, segment
from worker.clients.refusals import refusal
from worker.clients.response import Response
from worker.errors import Faults, Permanent, Throttled, Transient, WorkerError
from worker.job import Run

API_VERSION = "2026-10-28.endive"
"""Pinned, so that an account's upgrade changes nothing here: raise it together with the types below."""

API_BASE = "https://api.stripe.com"
_INTENTS = "/v1/payment_intents"
_CUSTOMERS = "/v1/customers"
_LONGEST_PAGE = 100
_CHECK_S = 10
_MISSING = "resource_missing"
_ACCESS = {401: "refused credentials", 403: "refused permission"}

Status: TypeAlias = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "canceled",
    "succeeded",
]


class PaymentIntent(msgspec.Struct, frozen=True):
    """What jobs use of a PaymentIntent; a status that this version of the API does not know fails the record."""

    id: str
    status: Status
    amount: int
    currency: str


class Customer(TypedDict):
    """What jobs use of a Customer."""

    id: str
    created: int
    email: str | None
    name: str | None


class _Customers(msgspec.Struct):
    data: list[Customer]
    has_more: bool


class _Deleted(msgspec.Struct):
    deleted: bool = False


class _Error(msgspec.Struct):
    type: str | None = None
    code: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Error


class _Page(msgspec.Struct):
    data: list[PaymentIntent]


class Stripe:
    """Stripe's API with one key: `self.stripe = await run.enter(Stripe(run))`.

    Key and base are the job's `STRIPE_API_KEY` and `STRIPE_API_BASE`, unless given; `limit` and `timeout_s` are those of `Http`. Raises Faults
    for a key or a base that cannot be used, before anything is sent.
    """

    def __init__(
        self,
        run: Run[Any],
        *,
        key: str | None = None,
        base: str | None = None,
        limit: str | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        key = key or run.secrets.get("STRIPE_API_KEY", "")
        base = base or run.environment.get("STRIPE_API_BASE") or API_BASE
        if not key:
            raise Faults(["STRIPE_API_KEY is not known: name it in the job's `secrets`, and set it"])
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise Faults(["STRIPE_API_KEY has a space or a line end in it (its value is not shown)"])
        headers = {"Authorization": f"Bearer {key}", "Stripe-Version": API_VERSION}
        self._limit = limit
        try:
            self._http = Http(run, base_url=base, headers=headers, limit=limit, timeout_s=timeout_s)
        except Faults as error:
            raise Faults(f"STRIPE_API_BASE: {fault}" for fault in error.faults) from error

    async def __aenter__(self) -> "Stripe":
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._http.__aexit__(*exc_info)

    async def check(self) -> list[str]:
        """Find what would make every call fail: a key that is refused, an address that is not Stripe's.

        It lists one payment, which a restricted key may too. A provider that is down or busy is no fault of the start.
        """
        try:
            async with asyncio.timeout(_CHECK_S):
                response = await self._http.get(_INTENTS, params={"limit": 1}, accept=ANY_STATUS)
            if response.status != 200:
                raise self._refusal(response)
            response.json(_Page)
        except (Transient, TimeoutError):
            return []
        except Permanent as error:
            name = "STRIPE_API_KEY" if error.type in _ACCESS.values() else "STRIPE_API_BASE"
            return [f"{name} is of no use: {error}"]
        return []

    async def payment_intent(self, ref: str) -> PaymentIntent:
        """Retrieve a payment intent by its id, whatever the id is made of.

        Raises Throttled and Transient for what may end otherwise, Permanent with Stripe's error code for the rest. A refused
        key is Permanent too, in a group of its own: `check` finds it before the first record, the error budget after that.
        """
        response = await self._http.get(f"{_INTENTS}/{segment(ref)}", accept=ANY_STATUS)
        if response.status != 200:
            raise self._refusal(response)
        intent = response.json(PaymentIntent)
        if intent.id != ref:
            raise Permanent(f"{response} with another payment: {intent.id!r}", "unexpected answer")
        return intent

    async def customer(self, ref: str) -> Customer | None:
        """Retrieve a customer by its id; None for one that was deleted, or never was. Raises as `payment_intent` does."""
        response = await self._http.get(f"{_CUSTOMERS}/{segment(ref)}", accept=ANY_STATUS)
        if response.status == 404 and _said(response).code == _MISSING:
            return None
        if response.status != 200:
            raise self._refusal(response)
        return None if response.json(_Deleted).deleted else response.json(Customer)

    async def customers(
        self, after: tuple[int, str] | None, size: int, *, since: int | None = None
    ) -> tuple[list[Customer], bool]:
        """List customers, the latest first, and say whether there are more; `since` is the earliest `created` (Unix time).

        `after` is `created` and `id` of the last one that is known: should it have been deleted meanwhile, the list goes on
        with those of the same second. Stripe lists no deleted customers.
        """
        params = {"limit": str(min(size, _LONGEST_PAGE))} | ({"created[gte]": str(since)} if since is not None else {})
        cursor = {"starting_after": after[1]} if after else {}
        response = await self._http.get(_CUSTOMERS, params=params | cursor, accept=ANY_STATUS)
        if after and response.status in (400, 404) and _said(response).code == _MISSING:
            cursor = {"created[lte]": str(after[0])}
            response = await self._http.get(_CUSTOMERS, params=params | cursor, accept=ANY_STATUS)
        if response.status != 200:
            raise self._refusal(response)
        page = response.json(_Customers)
        return page.data, page.has_more

    def _refusal(self, response: Response) -> WorkerError:
        """Judge as Stripe's own clients do: `Stripe-Should-Retry` goes before the status, a 409 is a lock that passes."""
        said = _said(response)
        request_id = response.headers.get("request-id", "no request id")
        message = f"{response} ({request_id}): {said.message or response.preview}"
        error = refusal(response.status, message, response.headers.get("retry-after"), self._limit)
        should_retry = response.headers.get("stripe-should-retry")
        if should_retry == "false" or (
            isinstance(error, Permanent) and should_retry != "true" and response.status != 409
        ):
            return Permanent(
                message, _ACCESS.get(response.status) or said.code or said.type or f"HTTP {response.status}"
            )
        return error if isinstance(error, Throttled) else Transient(message)


def _said(response: Response) -> _Error:
    """Read Stripe's error body; what is none, as a proxy's, gives an empty one."""
    try:
        return response.json(_ErrorBody).error
    except (Permanent, Transient):
        return _Error()
