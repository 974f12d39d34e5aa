"""Stripe's client for jobs, against the simulator and against servers that answer otherwise."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.json import encode
from simulated import a_run, provider, ref_of, saying

from worker.clients.stripe import Stripe
from worker.errors import Faults, Permanent, Throttled, Transient
from worker.local.provider_customers import Customers

FAIL = 0.3
INTENT = {"id": "pi_1", "status": "succeeded", "amount": 5, "currency": "eur"}


@asynccontextmanager
async def stripe_at(url: str, key: str = "sk_test_12345678", **options: Any) -> AsyncIterator[Stripe]:
    """Open a client as a job would."""
    run = a_run(secrets={"STRIPE_API_KEY": key}, environment={"STRIPE_API_BASE": url})
    async with Stripe(run, **options) as stripe:
        yield stripe


@asynccontextmanager
async def stripe(**behaviour: Any) -> AsyncIterator[Stripe]:
    """Open a client of a simulator with this behaviour."""
    async with provider(**behaviour) as (url, simulator), stripe_at(url, simulator.api_key) as client:
        yield client


async def test_stripe_retrieves_a_payment_intent() -> None:
    """The intent's id, status, amount and currency."""
    ref = ref_of("requires_capture")
    async with stripe() as client:
        intent = await client.payment_intent(ref)
    assert (intent.id, intent.status) == (ref, "requires_capture")
    assert intent.amount > 0
    assert len(intent.currency) == 3


async def test_stripe_misses_a_payment() -> None:
    """A missing payment fails its record, grouped by Stripe's code, with the request's id for Stripe's support."""
    async with stripe() as client:
        with pytest.raises(Permanent, match=r"\(req_\w+\): No such payment_intent: '") as raised:
            await client.payment_intent(ref_of(None))
    assert raised.value.type == "resource_missing"


@pytest.mark.parametrize(
    "ref", ["", ".", "..", "../payment_intents", "pi_1?expand[]=x", "pi 1", "\x00", "pi_1/cancel", None]
)
async def test_stripe_asks_for_nothing_but_payments(ref: Any) -> None:
    """A reference from a database cannot make it another call."""
    async with stripe() as client:
        with pytest.raises(Permanent):
            await client.payment_intent(ref)


async def test_stripe_hears_the_rate_limit() -> None:
    """Above the limit: Throttled, with the pause that was asked for and no limit of its own to name."""
    async with stripe(rate=1) as client:
        await client.payment_intent(ref_of("succeeded"))
        with pytest.raises(Throttled, match="Request rate limit exceeded") as raised:
            await client.payment_intent(ref_of("succeeded"))
    assert (raised.value.retry_after_s, raised.value.limit) == (1.0, None)


async def test_stripe_tells_a_passing_failure() -> None:
    """A 500 is worth another try, and the next one succeeds."""
    ref = ref_of("succeeded", fail=FAIL, failing=1)
    async with stripe(fail=FAIL) as client:
        with pytest.raises(Transient, match="answered 500"):
            await client.payment_intent(ref)
        assert (await client.payment_intent(ref)).status == "succeeded"


async def test_stripe_tells_that_the_provider_is_down() -> None:
    """A cut connection is worth another try."""
    async with stripe(down=True) as client:
        with pytest.raises(Transient, match="gave no answer"):
            await client.payment_intent("pi_1")


@pytest.mark.parametrize(
    ("status", "should_retry", "kind"),
    [
        ("500 Oops", "false", Permanent),
        ("429 Slow", "false", Permanent),
        ("400 Bad", "true", Transient),
        ("409 Conflict", None, Transient),
        ("409 Conflict", "false", Permanent),
        ("500 Oops", None, Transient),
        ("429 Slow", None, Throttled),
        ("402 Declined", None, Permanent),
    ],
)
async def test_stripe_says_whether_to_retry(status: str, should_retry: str | None, kind: type[Exception]) -> None:
    """Stripe-Should-Retry goes before the status, and a conflict passes."""
    body = encode({"error": {"type": "card_error", "code": "card_declined", "message": "No.", "param": None}})
    headers = [f"Stripe-Should-Retry: {should_retry}"] if should_retry else []
    async with saying(status, *headers, body=body) as url, stripe_at(url) as client:
        with pytest.raises(kind, match=r"\(no request id\): No\.$") as raised:
            await client.payment_intent("pi_1")
    assert type(raised.value) is kind
    assert kind is not Permanent or raised.value.type == "card_declined"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("status", "group"), [("401 No", "refused credentials"), ("403 No", "refused permission")])
async def test_stripe_groups_refused_access(status: str, group: str) -> None:
    """A key that is refused in the middle of a run is one group of errors, whatever the code."""
    body = encode({"error": {"type": "invalid_request_error", "message": "Expired API Key provided"}})
    async with saying(status, body=body) as url, stripe_at(url) as client:
        with pytest.raises(Permanent, match="Expired") as raised:
            await client.payment_intent("pi_1")
    assert raised.value.type == group


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>hello</html>", Transient),
        (encode(INTENT)[:-5], Transient),
        (encode(INTENT | {"status": "thawing"}), Permanent),
        (encode(INTENT | {"id": "pi_2"}), Permanent),
        (encode(INTENT | {"amount": "5"}), Permanent),
        (b"[]", Permanent),
    ],
)
async def test_stripe_believes_no_strange_answer(body: bytes, kind: type[Exception]) -> None:
    """An unknown status, another payment or what is no intent is never handed on to be written."""
    async with saying("200 OK", body=body) as url, stripe_at(url) as client:
        with pytest.raises(kind) as raised:
            await client.payment_intent("pi_1")
    assert kind is not Permanent or raised.value.type == "unexpected answer"  # type: ignore[attr-defined]


async def test_stripe_survives_a_proxy_that_answers_for_it() -> None:
    """An error that is not Stripe's is judged by its status and quoted."""
    async with saying("502 Bad Gateway", body=b"<html>no upstream</html>") as url, stripe_at(url) as client:
        with pytest.raises(Transient, match="<html>no upstream"):
            await client.payment_intent("pi_1")


async def test_stripe_ignores_fields_that_it_does_not_know() -> None:
    """A newer answer is read as long as what matters is as it was."""
    async with saying("200 OK", body=encode(INTENT | {"colour": "red"})) as url, stripe_at(url) as client:
        assert (await client.payment_intent("pi_1")).amount == 5


async def test_stripe_finds_no_fault_with_a_good_key() -> None:
    """The check passes, and asks one thing only."""
    async with provider() as (url, simulator), stripe_at(url, simulator.api_key) as client:
        assert await client.check() == []
    assert simulator.by_status == {"200": 1}


async def test_stripe_finds_a_refused_key() -> None:
    """A refused key is a fault that names the variable and does not show it."""
    async with provider() as (url, _), stripe_at(url, "sk_test_wrong_secret_1") as client:
        faults = await client.check()
    assert len(faults) == 1
    assert faults[0].startswith("STRIPE_API_KEY is of no use: 127.0.0.1")
    assert "Invalid API Key provided" in faults[0]
    assert "secret" not in faults[0]


@pytest.mark.parametrize(("status", "body"), [("404 Not Found", b"nothing here"), ("200 OK", b'{"hello": 1}')])
async def test_stripe_finds_an_address_that_is_not_its(status: str, body: bytes) -> None:
    """A base that is somebody else's is a fault."""
    async with saying(status, body=body) as url, stripe_at(url) as client:
        (fault,) = await client.check()
    assert fault.startswith("STRIPE_API_BASE is of no use: ")


@pytest.mark.parametrize("behaviour", [{"down": True}, {"throttle_until": float("1e12")}])
async def test_stripe_finds_no_fault_with_a_provider_that_is_away(behaviour: dict[str, Any]) -> None:
    """Down or busy is for the run to meet with its retries and its budget."""
    async with stripe(**behaviour) as client:
        assert await client.check() == []


@pytest.mark.parametrize("key", ["", "sk_live_12345678\n", "sk_live 12345678", "ключ"])
def test_stripe_refuses_a_key_that_cannot_be_sent(key: str) -> None:
    """A key that is missing or garbled is a fault of the start; its value is not shown."""
    with pytest.raises(Faults, match="STRIPE_API_KEY") as raised:
        Stripe(a_run(secrets={"STRIPE_API_KEY": key}))
    assert "12345678" not in str(raised.value)


def test_stripe_refuses_a_base_that_is_no_address() -> None:
    """A base that cannot be called is a fault of the start, by the name of its variable."""
    with pytest.raises(Faults, match="STRIPE_API_BASE: the base URL of an API has the form https://host"):
        Stripe(a_run(secrets={"STRIPE_API_KEY": "sk_test_12345678"}, environment={"STRIPE_API_BASE": "nonsense"}))


async def test_stripe_takes_permits_of_its_limit() -> None:
    """With a limit of its own, check and calls take its permits."""
    taken: list[str] = []

    async def permit() -> None:
        taken.append("permit")

    async with provider() as (url, simulator):
        run = a_run(permits={"stripe": permit})
        async with Stripe(run, key=simulator.api_key, base=url, limit="stripe") as client:
            await client.check()
            await client.payment_intent(ref_of("succeeded"))
    assert taken == ["permit", "permit"]


async def test_stripe_lists_customers_the_latest_first() -> None:
    """Page after page to the end, from a moment on where that is asked for; no page has more than Stripe gives."""
    async with customers(250) as (client, there):
        found, more = await client.customers(None, 500)
        assert (len(found), more) == (100, True)
        last = found[-1]
        rest, more = await client.customers((last["created"], last["id"]), 100)
        end, none = await client.customers((rest[-1]["created"], rest[-1]["id"]), 100)
        assert (more, none) == (True, False)
        assert [customer["id"] for customer in (*found, *rest, *end)] == [each.id for each in reversed(list(there))]
        since, more = await client.customers(None, 100, since=found[9]["created"])
        assert (since, more) == (found[:10], False)


async def test_stripe_lists_on_where_the_last_customer_was_deleted() -> None:
    """A cursor that is gone is an error to Stripe; the list goes on with those of its second."""
    async with customers(30) as (client, there):
        found, _ = await client.customers(None, 10)
        last = found[-1]
        there.delete(last["id"])
        on, more = await client.customers((last["created"], last["id"]), 10)
        assert ([customer["id"] for customer in on], more) == ([each.id for each in reversed(list(there))][9:19], True)


async def test_stripe_retrieves_a_customer_unless_it_is_gone() -> None:
    """Deleted or never there, it is None; what else is wrong is an error."""
    async with customers(3) as (client, there):
        first, second, _ = there
        there.delete(second.id)
        assert await client.customer(first.id) == {
            "id": first.id,
            "created": first.created,
            "email": None,
            "name": "Customer 0",
        }
        assert await client.customer(second.id) is None
        assert await client.customer("cus_none") is None
        with pytest.raises(Permanent, match="cannot be part of a URL"):
            await client.customer("..")
    async with stripe_at("http://127.0.0.1:1") as away:
        with pytest.raises(Transient):
            await away.customers(None, 10)


@asynccontextmanager
async def customers(count: int) -> AsyncIterator[tuple[Stripe, Customers]]:
    """Open a client of a simulator that has so many customers."""
    async with provider() as (url, simulator), stripe_at(url, simulator.api_key) as client:
        simulator.customers.have(count)
        yield client, simulator.customers
