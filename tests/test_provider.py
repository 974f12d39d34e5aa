"""The provider's simulator is honest: Stripe's own Python package, and a bare socket, take it for Stripe."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import stripe
from msgspec.json import decode
from simulated import SEED, ref_of
from stripe import HTTPClient, RequestsClient, StripeClient

from worker.local.provider_answers import Simulator
from worker.local.provider_http import Connection
from worker.local.provider_intent import Intent

FAIL = 0.3
COMMAND = [sys.executable, "-m", "worker.local.provider", "--seed", str(SEED), "--until-eof"]


@dataclass
class Process:
    """A running simulator and two ways to talk to it."""

    popen: subprocess.Popen[str]
    url: str
    api_key: str
    session: requests.Session

    def stripe(self, key: str | None = None, retries: int = 0) -> StripeClient:
        """Give Stripe's client for it."""
        client = RequestsClient(session=self.session)
        addresses: Any = {"api": self.url}
        return StripeClient(
            key or self.api_key, base_addresses=addresses, http_client=client, max_network_retries=retries
        )

    def behave(self, **change: Any) -> Any:
        """Change how it behaves."""
        return self.session.put(f"{self.url}/_simulator", json=change).json()

    def look(self, path: str = "") -> Any:
        """See what it has counted."""
        return self.session.get(f"{self.url}/_simulator{path}").json()


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    """Start one simulator for all tests of this file; ending its input ends it."""
    popen = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert popen.stdin is not None
    assert popen.stdout is not None
    with requests.Session() as session, popen.stdout:
        yield Process(popen, session=session, **json.loads(popen.stdout.readline()))
        popen.stdin.close()
        assert popen.wait(5) == 0


@pytest.fixture
def simulator(process: Process) -> Iterator[Process]:
    """Give the simulator in its first state."""
    yield process
    process.behave(down=False, throttle_for=0, delay=0, rate=0, fail=0)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Stripe's package retry at once."""
    monkeypatch.setattr(HTTPClient, "INITIAL_DELAY", 0)
    monkeypatch.setattr(HTTPClient, "MAX_DELAY", 0)


@pytest.mark.parametrize(
    "status",
    [
        "requires_payment_method",
        "requires_confirmation",
        "requires_action",
        "processing",
        "requires_capture",
        "canceled",
        "succeeded",
    ],
)
def test_provider_answers_with_a_payment_intent(simulator: Process, status: str) -> None:
    """Stripe's package reads each of the seven statuses, and the same one however often it asks."""
    ref = ref_of(status)
    intent = simulator.stripe().v1.payment_intents.retrieve(ref)
    assert (intent.id, intent.object, intent.status) == (ref, "payment_intent", status)
    assert intent.amount_received == (intent.amount if status == "succeeded" else 0)
    assert len(intent.to_dict()) > 30
    assert simulator.stripe().v1.payment_intents.retrieve(ref) == intent


def test_provider_misses_a_payment(simulator: Process) -> None:
    """An unknown payment is resource_missing."""
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent") as raised:
        simulator.stripe().v1.payment_intents.retrieve(ref_of(None))
    assert (raised.value.http_status, raised.value.code, raised.value.param) == (404, "resource_missing", "intent")


def test_provider_misses_what_is_no_payment_id(simulator: Process) -> None:
    """An id that Stripe cannot have given, encoded by its package, is missing too."""
    with pytest.raises(stripe.InvalidRequestError, match=r"No such payment_intent: '\.\./a\?b'"):
        simulator.stripe().v1.payment_intents.retrieve("../a?b")


def test_provider_refuses_a_wrong_key(simulator: Process) -> None:
    """The wrong key is refused, and not repeated in full."""
    with pytest.raises(stripe.AuthenticationError, match=r"Invalid API Key provided: sk_test_\*+6789") as raised:
        simulator.stripe(key="sk_test_123456789").v1.payment_intents.retrieve(ref_of("succeeded"))
    assert raised.value.http_status == 401


def test_provider_demands_a_bearer_key(simulator: Process) -> None:
    """Without a key, or with one sent otherwise, there is no answer."""
    for authorization in (None, f"Basic {simulator.api_key}"):
        answer = simulator.session.get(
            f"{simulator.url}/v1/payment_intents/pi_1",
            headers={"Authorization": authorization} if authorization else {},
        )
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")


def test_provider_lists_payments(simulator: Process) -> None:
    """The list holds payments that can be retrieved, as they are."""
    client = simulator.stripe()
    listed = client.v1.payment_intents.list({"limit": 3}).data
    assert [client.v1.payment_intents.retrieve(intent.id) for intent in listed] == listed
    assert listed
    for wrong in ({"limit": 0}, {"limit": 101}, {"colour": "red"}):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.payment_intents.list(wrong)  # type: ignore[arg-type]


def test_provider_knows_no_other_calls(simulator: Process) -> None:
    """What is not simulated says so, instead of pretending."""
    with pytest.raises(stripe.InvalidRequestError, match=r"Unrecognized request URL \(POST: /v1/payment_intents\)"):
        simulator.stripe().v1.payment_intents.create({"amount": 1, "currency": "eur"})


def test_provider_echoes_version_and_names_each_request(simulator: Process) -> None:
    """The version that was asked for comes back, and no two requests have one id."""
    headers = {"Authorization": f"Bearer {simulator.api_key}", "Stripe-Version": "2024-06-20"}
    url = f"{simulator.url}/v1/payment_intents/{ref_of('succeeded')}"
    first, second = (simulator.session.get(url, headers=headers).headers for _ in range(2))
    assert first["Stripe-Version"] == "2024-06-20"
    assert first["Request-Id"] != second["Request-Id"]
    assert first["Request-Id"].startswith("req_")


def test_provider_keeps_its_rate_limit(simulator: Process) -> None:
    """Above the limit it answers 429 with a pause, and counts the violation."""
    before = simulator.behave(rate=1)
    client = simulator.stripe()
    client.v1.payment_intents.retrieve(ref_of("succeeded"))
    with pytest.raises(stripe.RateLimitError) as raised:
        client.v1.payment_intents.retrieve(ref_of("succeeded"))
    assert raised.value.headers is not None
    assert (raised.value.headers["retry-after"], raised.value.headers["stripe-should-retry"]) == ("1", "true")
    after = simulator.look()
    assert after["rate"] == 1
    assert after["violations"] == before["violations"] + 1
    assert after["refused"] == before["refused"] + 1


def test_provider_throttles_for_a_while(simulator: Process) -> None:
    """Told to, it sends everybody away, says for how long, and counts no violation."""
    before = simulator.behave(throttle_for=30)
    with pytest.raises(stripe.RateLimitError) as raised:
        simulator.stripe().v1.payment_intents.retrieve(ref_of("succeeded"))
    assert raised.value.headers is not None
    assert raised.value.headers["retry-after"] == "30"
    assert simulator.behave(throttle_for=0)["violations"] == before["violations"]
    assert simulator.stripe().v1.payment_intents.retrieve(ref_of("succeeded")).status == "succeeded"


@pytest.mark.usefixtures("no_waiting")
def test_provider_says_when_to_retry(simulator: Process) -> None:
    """Stripe's package follows Stripe-Should-Retry: it asks again after a 429, which it does for no other reason."""
    before = simulator.behave(throttle_for=30)
    with pytest.raises(stripe.RateLimitError):
        simulator.stripe(retries=2).v1.payment_intents.retrieve(ref_of("succeeded"))
    assert simulator.look()["requests"] == before["requests"] + 3


@pytest.mark.usefixtures("no_waiting")
def test_provider_stumbles_and_succeeds_on_a_retry(simulator: Process) -> None:
    """A payment with trouble fails its first tries, whoever asks, and then answers as if nothing had been."""
    simulator.behave(fail=FAIL)
    ref = ref_of("succeeded", fail=FAIL, failing=2)
    with pytest.raises(stripe.APIError) as raised:
        simulator.stripe().v1.payment_intents.retrieve(ref)
    assert raised.value.http_status == 500
    assert simulator.stripe(retries=1).v1.payment_intents.retrieve(ref).status == "succeeded"
    assert simulator.look(f"/calls?ref={ref}") == {"ref": ref, "calls": 3}


def test_provider_can_be_down(simulator: Process) -> None:
    """Down, it cuts connections; up again, it answers."""
    simulator.behave(down=True)
    with pytest.raises(stripe.APIConnectionError):
        simulator.stripe().v1.payment_intents.retrieve(ref_of("succeeded"))
    assert simulator.behave(down=False)["by_status"]["cut"] == 1
    assert simulator.stripe().v1.payment_intents.retrieve(ref_of("succeeded")).status == "succeeded"


def test_provider_tells_when_requests_arrived(simulator: Process) -> None:
    """Arrivals are in order, on the clock that `now` is on, and control calls are none."""
    client = simulator.stripe()
    before = simulator.look()["requests"]
    for _ in range(3):
        client.v1.payment_intents.retrieve(ref_of("succeeded"))
    seen = simulator.look("/arrivals")
    assert seen["arrivals"] == sorted(seen["arrivals"])
    assert seen["arrivals"][-1] <= seen["now"]
    assert len(seen["arrivals"]) == simulator.look()["requests"] == before + 3


@pytest.mark.parametrize("wrong", [{"dwon": True}, {"delay": "long"}, {"rate": 1.5}, []])
def test_provider_refuses_a_change_that_it_does_not_know(simulator: Process, wrong: Any) -> None:
    """A misspelt change must not pass as one that was made."""
    assert simulator.session.put(f"{simulator.url}/_simulator", json=wrong).status_code == 400


async def test_provider_answers_a_pipeline_in_order(simulator: Process) -> None:
    """Requests sent at once are answered in order, with a delay as without."""
    refs = [ref_of("succeeded", start=number * 10) for number in range(20)]
    for delay in (0, 0.01):
        simulator.behave(delay=delay)
        sent = b"".join(_request(simulator, ref) for ref in refs)
        assert [decode(body, type=Intent).id for body in await _bodies(simulator, sent, len(refs))] == refs


async def test_provider_keeps_a_delayed_answer_before_the_next(simulator: Process) -> None:
    """What could be answered at once waits for what was asked before it."""
    simulator.behave(delay=0.02)
    look = b"GET /_simulator HTTP/1.1\r\nHost: x\r\n\r\n"
    first, second = await _bodies(simulator, _request(simulator, "pi_1") + look, 2)
    assert b'"client_secret"' in first
    assert b'"requests"' in second


async def test_provider_reads_a_request_byte_by_byte() -> None:
    """However the network cuts a request, it is the same request."""

    class Written(asyncio.Transport):
        """Keep what is written."""

        def __init__(self) -> None:
            super().__init__()
            self.data = b""

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.data += data

        def is_closing(self) -> bool:
            return False

    simulator, transport = Simulator(seed=SEED), Written()
    connection = Connection(simulator, set())
    connection.connection_made(transport)
    ref = ref_of("succeeded")
    for byte in f"GET /v1/payment_intents/{ref} HTTP/1.1\r\nAuthorization: Bearer {simulator.api_key}\r\n\r\n".encode():
        connection.data_received(bytes([byte]))
    assert transport.data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert decode(transport.data.partition(b"\r\n\r\n")[2], type=Intent).id == ref


async def test_provider_delays_its_answers(simulator: Process) -> None:
    """No answer comes before its delay is over."""
    simulator.behave(delay=0.02)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await _bodies(simulator, _request(simulator, "pi_1"), 1)
    assert loop.time() - began >= 0.019


async def test_provider_closes_on_what_is_not_http(simulator: Process) -> None:
    """Noise gets a 400 and a closed connection, and the next caller is served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(simulator.url.rpartition(":")[2]))
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    writer.close()
    assert simulator.look()["requests"] >= 0


def test_provider_lists_customers(simulator: Process) -> None:
    """Stripe's package pages through all of them, the latest first, and retrieves each; the same ones each time."""
    simulator.behave(customers=25)
    client = simulator.stripe().v1.customers
    listed = list(client.list({"limit": 10}).auto_paging_iter())
    assert [customer.name for customer in listed] == [f"Customer {number}" for number in reversed(range(25))]
    assert client.retrieve(listed[3].id) == listed[3]
    since = client.list({"created": {"gte": listed[4].created, "lte": listed[2].created}})
    assert [customer.id for customer in since.data] == [customer.id for customer in listed[2:5]]
    simulator.behave(customers=24)
    assert [customer.id for customer in client.list({"limit": 100}).data] == [customer.id for customer in listed[1:]]
    for params in ({"limit": 101}, {"limit": 0}, {"starting_after": listed[0].id}, {"email": "a@example.com"}):
        with pytest.raises(stripe.InvalidRequestError) as raised:
            client.list(params)  # type: ignore[arg-type]  # that is what it refuses
        assert raised.value.param == next(iter(params))
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        client.retrieve(listed[0].id)


def test_provider_ends_on_sigterm() -> None:
    """A simulator that is asked to end does, with exit code 0."""
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        assert popen.stdout is not None
        popen.stdout.readline()
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(5) == 0


def _request(simulator: Process, ref: str) -> bytes:
    return f"GET /v1/payment_intents/{ref} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {simulator.api_key}\r\n\r\n".encode()


async def _bodies(simulator: Process, sent: bytes, count: int) -> list[bytes]:
    """Send bytes in two pieces and read so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(simulator.url.rpartition(":")[2]))
    writer.write(sent[: len(sent) // 3])
    await writer.drain()
    writer.write(sent[len(sent) // 3 :])
    bodies = []
    for _ in range(count):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        bodies.append(await reader.readexactly(length))
    writer.close()
    return bodies
