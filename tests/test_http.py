"""The HTTP client that jobs are given, against real servers: what it sends, and how it tells trouble."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import a_run, answering, provider, ref_of, saying

from worker.clients.http import Http, segment
from worker.clients.refusals import LONGEST_PAUSE_S, pause_of
from worker.clients.response import Response
from worker.errors import Faults, Permanent, Throttled, Transient

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "s3cret-value"


class Thing(msgspec.Struct):
    """A typed answer."""

    name: str


@asynccontextmanager
async def client(url: str, **options: Any) -> AsyncIterator[Http]:
    """Open a client as a job would."""
    async with Http(a_run(), base_url=url, **options) as http:
        yield http


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Run a server that keeps what it was sent."""
    requests: list[bytes] = []

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        requests.append(head + await reader.readexactly(length))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\nX-Kind: fine\r\n\r\n{"name":"thing"}')

    async with answering(answer) as url:
        yield url, requests


async def test_http_reads_a_typed_answer() -> None:
    """Status, headers in any case, bytes, and JSON with or without a type."""
    async with echoing() as (url, _), client(url) as http:
        response = await http.get("/things/1")
    assert (response.status, response.headers["x-kind"], response.headers["X-KIND"]) == (200, "fine", "fine")
    assert response.body == b'{"name":"thing"}'
    assert response.json(Thing) == Thing("thing")
    assert response.json() == {"name": "thing"}


async def test_http_sends_what_it_is_given() -> None:
    """Method, query, headers and body reach the other side; headers of a call go before those of the client."""
    async with echoing() as (url, requests), client(url, headers={"X-A": "1", "X-B": "1"}) as http:
        await http.get("/things", params={"q": "a b"}, headers={"X-B": "2"})
        await http.post("/things", json=Thing("new"))
        await http.put("/things/1", data=b"raw")
        await http.patch("/things/1", data={"name": "a&b"})
        await http.delete("/things/1")
    get, post, put, patch, delete = requests
    assert get.startswith(b"GET /things?q=a+b HTTP/1.1\r\n")
    assert b"x-a: 1\r\n" in get.lower()
    assert b"x-b: 2\r\n" in get.lower()
    assert b"x-b: 1" not in get.lower()
    assert post.startswith(b"POST /things ")
    assert b"content-type: application/json\r\n" in post.lower()
    assert post.endswith(b'{"name":"new"}')
    assert put.startswith(b"PUT ")
    assert put.endswith(b"raw")
    assert patch.endswith(b"name=a%26b")
    assert delete.startswith(b"DELETE ")


async def test_http_sends_nothing_but_reads_in_a_dry_run() -> None:
    """A dry run refuses whatever could change something, says so, and still reads."""
    async with echoing() as (url, requests), Http(a_run(dry_run=True), base_url=url) as http:
        for send in (http.post, http.put, http.patch, http.delete):
            with pytest.raises(Permanent, match=r"a dry run sends no [A-Z]+ to 127.0.0.1") as raised:
                await send("/things")
            assert raised.value.type == "dry run"
        assert (await http.get("/things")).status == 200
        assert (await http.request("HEAD", "/things")).status == 200
    assert [request.partition(b" ")[0] for request in requests] == [b"GET", b"HEAD"]


async def test_http_takes_a_permit_before_each_send() -> None:
    """A client with a limit sends only after its permit."""
    order: list[str] = []

    async def permit() -> None:
        order.append("permit")

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order.append("sent")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with answering(answer) as url, Http(a_run(permits={"search": permit}), base_url=url, limit="search") as http:
        await http.get("/")
        await http.get("/")
    assert order == ["permit", "sent"] * 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("301 Moved", Permanent),
        ("400 Bad", Permanent),
        ("404 Gone", Permanent),
        ("408 Late", Transient),
        ("409 Conflict", Permanent),
        ("425 Early", Transient),
        ("429 Slow", Throttled),
        ("500 Oops", Transient),
        ("502 Bad", Transient),
        ("503 Busy", Transient),
    ],
)
async def test_http_tells_refusals_apart(status: str, kind: type[Exception]) -> None:
    """Each status has its error, which names host, status and path, and what was said on one line."""
    async with saying(status, body=b"<html>\n<h1>it  was\x00so</h1>" + b"x" * 500) as url, client(url) as http:
        with pytest.raises(kind) as raised:
            await http.get("/things", params={"token": SECRET})
    assert type(raised.value) is kind
    number = status[:3]
    host = url.removeprefix("http://")
    assert str(raised.value).startswith(f"{host} answered {number} to GET '/things': <html> <h1>it was so</h1>xxx")
    assert len(str(raised.value)) < 300
    assert SECRET not in str(raised.value)
    assert kind is not Permanent or raised.value.type == f"HTTP {number}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", ["429 Slow", "503 Busy"])
async def test_http_hears_how_long_to_stay_away(status: str) -> None:
    """Retry-After goes into Throttled, with the limit that it pauses."""
    permits = {"search": lambda: asyncio.sleep(0)}
    async with (
        saying(status, "Retry-After: 7") as url,
        Http(a_run(permits=permits), base_url=url, limit="search") as http,
    ):
        with pytest.raises(Throttled) as raised:
            await http.get("/")
    assert (raised.value.retry_after_s, raised.value.limit) == (7.0, "search")


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        ("3", 3.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("86400", LONGEST_PAUSE_S),
        (format_datetime(NOW + timedelta(seconds=20), usegmt=True), 20.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("Sun, 22 Nov 2026 12:00:05 -0000", 5.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_http_reads_retry_after(header: str | None, pause: float | None) -> None:
    """Seconds or a date, never below zero, never longer than the longest pause; nonsense is as if it were not there."""
    assert pause_of(header, NOW) == pause


@given(st.text())
def test_http_survives_any_retry_after(header: str) -> None:
    """Whatever a server sends, the pause is sane."""
    pause = pause_of(header, NOW)
    assert pause is None or 0 <= pause <= LONGEST_PAUSE_S


async def test_http_accepts_a_status_that_the_job_wants_to_see() -> None:
    """A job that treats 404 as an answer gets it as one."""
    async with saying("404 Not Found", body=b"none") as url, client(url) as http:
        response = await http.get("/things/1", accept={404})
    assert (response.status, response.body) == (404, b"none")


async def test_http_follows_no_redirect() -> None:
    """Its headers go nowhere but where they were meant for."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with (
        echoing() as (elsewhere, requests),
        saying("302 Found", f"Location: {elsewhere}/stolen") as url,
        client(url, headers=headers) as http,
    ):
        with pytest.raises(Permanent, match="answered 302"):
            await http.get("/")
    assert requests == []


async def _closed_port() -> str:
    async with saying("200 OK") as url:
        return url


async def test_http_tells_a_refused_connection() -> None:
    """Nobody listens: worth another try; the message has host and cause, not the query."""
    url = await _closed_port()
    async with client(url) as http:
        with pytest.raises(Transient, match=r"127.0.0.1:\d+ gave no answer to GET: Connection refused") as raised:
            await http.get("/", params={"token": SECRET})
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


async def test_http_tells_an_unknown_host() -> None:
    """A name that does not resolve may do so later."""
    async with client("http://user:s3cret-value@nowhere.invalid") as http:
        with pytest.raises(Transient, match=r"^nowhere\.invalid gave no answer to GET: ") as raised:
            await http.get("/")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"hello?\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
async def test_http_tells_a_broken_answer(answer: bytes) -> None:
    """Cut before, within or after the head, or garbled: worth another try, never half an answer."""

    async def give(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with answering(give) as url, client(url) as http:
        with pytest.raises(Transient, match="gave no answer to GET: "):
            await http.get("/")


async def test_http_gives_up_on_a_slow_body() -> None:
    """An answer that does not come to its end in time is no answer."""

    async def give(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

    async with answering(give) as url, client(url, timeout_s=0.05) as http:
        with pytest.raises(Transient, match="timed out"):
            await http.get("/")


async def test_http_reads_no_endless_body() -> None:
    """An answer above the largest size is refused when that size is read, not when memory is full."""
    cut = asyncio.Event()

    async def give(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                await writer.drain()
        finally:
            cut.set()

    async with answering(give) as url, client(url, largest=100_000) as http:
        with pytest.raises(Permanent, match="with more than 100,000 bytes"):
            await http.get("/")
        async with asyncio.timeout(5):
            await cut.wait()


async def test_http_takes_an_answer_of_the_largest_size() -> None:
    """The bound is inclusive, and an empty body is one too."""
    async with saying("200 OK", body=b"x" * 10) as url, client(url, largest=10) as http:
        assert (await http.get("/")).body == b"x" * 10
    async with saying("204 No Content") as url, client(url) as http:
        assert (await http.get("/")).body == b""


async def test_http_lets_go_of_a_cancelled_call() -> None:
    """A call that the engine cancels returns at once, and its connection is cut when the client's own time is over."""
    asked, gone = asyncio.Event(), asyncio.Event()

    async def give(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        gone.set()

    async with answering(give) as url, client(url, timeout_s=0.2) as http:
        call = asyncio.create_task(http.get("/"))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not gone.is_set()
        async with asyncio.timeout(5):
            await gone.wait()


async def test_http_is_cancelled_though_the_answer_is_there() -> None:
    """A cancellation that comes together with the answer is not lost: whoever calls in a loop would go on for ever."""
    answered = asyncio.Event()

    async def give(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        answered.set()

    async with answering(give) as url, client(url) as http:
        for _ in range(20):
            call = asyncio.create_task(http.get("/"))
            await answered.wait()
            answered.clear()
            time.sleep(0.005)  # noqa: ASYNC251 - the answer comes, and the loop does not know it yet
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_http_cuts_a_cancelled_body() -> None:
    """A call that is cancelled while its body comes in is cut there and then."""
    reading, gone = asyncio.Event(), asyncio.Event()

    async def give(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while True:
                writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
                await writer.drain()
                sent += 1
                if sent == 320:  # 20 MiB: more than the kernel holds, so somebody reads
                    reading.set()
        finally:
            gone.set()

    async with answering(give) as url, client(url, timeout_s=60, largest=1 << 40) as http:
        call = asyncio.create_task(http.get("/"))
        async with asyncio.timeout(10):
            await reading.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await gone.wait()


async def test_http_keeps_its_connections() -> None:
    """As many as are in flight are opened once and used again."""
    ports = set()

    async def give(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with answering(give) as url, client(url) as http:
        for _ in range(5):
            await asyncio.gather(*(http.get("/") for _ in range(64)))
    assert len(ports) <= 64


def test_http_tells_what_is_not_json() -> None:
    """No JSON at all may be better next time; JSON of another shape will not."""
    asked = ("GET", "https://api.example.com/things?token=s3cret-value")
    for body in (b"<html>busy</html>", b"", b'{"name":', b"\xff\xfe"):
        with pytest.raises(Transient, match="answered 200 to GET '/things' with what is not JSON"):
            Response(200, {}, body, asked).json(Thing)
    for body in (b"{}", b'{"name": 1}', b"[]"):
        with pytest.raises(Permanent, match="with JSON that does not fit: ") as raised:
            Response(200, {}, body, asked).json(Thing)
        assert raised.value.type == "unexpected answer"


@pytest.mark.parametrize("value", ["", ".", "..", None])
def test_http_puts_no_dots_into_a_path(value: str | None) -> None:
    """What a URL cannot hold as one segment is refused, not sent elsewhere."""
    with pytest.raises(Permanent, match="cannot be part of a URL"):
        segment(value)


@pytest.mark.parametrize(
    "value", ["../v1/x?y", "a b", "\x00", "#", "%2e%2e", "pi_é\ud800", "\\..\\", "a;b", "x\r\nEvil: 1"]
)
async def test_http_keeps_a_value_within_its_segment(value: str) -> None:
    """Whatever a database holds, it is one segment of the path and nothing else."""
    async with echoing() as (url, requests), client(url) as http:
        await http.get(f"/things/{segment(value)}/end")
    target = requests[0].split(b" ")[1].decode()
    assert target == f"/things/{segment(value)}/end"
    assert "?" not in target
    assert b"evil:" not in requests[0].lower()


async def test_http_wants_paths_that_begin_with_a_slash() -> None:
    """A path cannot become a part of the host."""
    async with client("http://127.0.0.1:1") as http:
        with pytest.raises(ValueError, match="begins with a slash"):
            await http.get("@evil.example/")


@pytest.mark.parametrize(
    "url", ["api.example.com", "ftp://api.example.com", "https://", "https://[::1", "https://h:99999999"]
)
def test_http_wants_a_web_address(url: str) -> None:
    """A base that is no address is a fault of the start."""
    with pytest.raises(Faults, match="has the form https://host"):
        Http(a_run(), base_url=url)


async def test_http_does_not_show_a_header_that_cannot_be_sent() -> None:
    """The fault names the header and keeps its value to itself."""
    with pytest.raises(Faults, match="Authorization") as raised:
        async with client("https://api.example.com", headers={"Authorization": f"{SECRET}\n"}):
            pass
    assert SECRET not in str(raised.value)


async def test_http_must_be_open() -> None:
    """A client that was never entered says how to."""
    with pytest.raises(RuntimeError, match=r"await run\.enter\(Http"):
        await Http(a_run()).get("https://api.example.com/")


async def test_http_reads_the_simulator() -> None:
    """Sixty-four in flight against the provider that benchmarks use: each gets its own answer."""
    async with provider() as (url, simulator):
        headers = {"Authorization": f"Bearer {simulator.api_key}"}
        async with client(url, headers=headers) as http:
            refs = [ref_of("succeeded", start=number * 20) for number in range(64)]
            answers = await asyncio.gather(*(http.get(f"/v1/payment_intents/{ref}") for ref in refs))
    assert [answer.json()["id"] for answer in answers] == refs
