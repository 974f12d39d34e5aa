"""Limits per host: each host has its own, a busy one holds up nobody else, and they are forgotten when they are not needed."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from fakes import Batches, Row, Rows, engine_over, now
from simulated import a_run, answering, saying
from test_rate import most_in_a_window

from worker.clients.hosts import Hosts
from worker.clients.http import Http
from worker.errors import Permanent, Postponed, Throttled, Transient
from worker.limits import Limits, Rate
from worker.outcome import done
from worker.retry import Retry

virtual = pytest.mark.looptime


async def worked(
    hosts: Hosts,
    host_of: Callable[[int], str],
    call: Callable[[Row], Any],
    count: int,
    **options: Any,
) -> Batches:
    """Let the engine call a host for each of so many records."""
    sink = Batches()

    async def process(row: Row) -> Any:
        async with hosts.turn(host_of(row.id)):
            await call(row)
        return done(row.id)

    await engine_over(Rows(range(count)), process, sink, **options).work()
    return sink


@virtual
async def test_hosts_keep_each_to_its_rate() -> None:
    """No window of one host has more than its rate; all together have as many as there are hosts; nothing takes much longer."""
    sent: dict[str, list[float]] = {}
    hosts, began = Hosts(Limits(rate=Rate(10)), now), now()

    async def call(row: Row) -> None:
        sent.setdefault(f"host-{row.id % 3}", []).append(now())

    sink = await worked(hosts, lambda number: f"host-{number % 3}", call, 300, limits=Limits(concurrency=8))
    assert sorted(sink.ids()) == list(range(300))
    assert max(most_in_a_window(moments, 1.0) for moments in sent.values()) <= 10
    assert now() - began < 15, "a hundred for each host take ten seconds"


@virtual
async def test_hosts_that_are_slow_leave_the_slots_to_others() -> None:
    """Two calls at once to the slow host, of eight slots; the fast one's records do not wait for its."""
    ended: dict[int, float] = {}
    calls, most = Counter[str](), Counter[str]()

    def host_of(number: int) -> str:
        return "slow" if number % 2 else "fast"

    async def call(row: Row) -> None:
        host = host_of(row.id)
        calls[host] += 1
        most[host] = max(most[host], calls[host])
        await asyncio.sleep(5 if host == "slow" else 0.01)
        calls[host] -= 1
        ended[row.id] = now() - began

    hosts, began = Hosts(Limits(concurrency=2), now), now()
    await worked(hosts, host_of, call, 100, limits=Limits(concurrency=8, page_size=100))
    assert most == {"slow": 2, "fast": 2}
    assert max(moment for number, moment in ended.items() if number % 2 == 0) < 3
    assert 125 <= max(ended.values()) < 150, "fifty slow ones, two at a time"


@virtual
async def test_hosts_that_ask_for_a_pause_get_it_alone() -> None:
    """After 429 nobody calls that host for as long as it said; the others are called meanwhile."""
    hosts, sent = Hosts(Limits(), now), list[tuple[str, float]]()

    async def call(row: Row) -> None:
        host = f"host-{row.id % 2}"
        sent.append((host, now() - began))
        if host == "host-1" and len([each for each in sent if each[0] == host]) == 1:
            raise Throttled("slow down", 7)

    began = now()
    sink = await worked(hosts, lambda number: f"host-{number % 2}", call, 40, limits=Limits(concurrency=4))
    assert sorted(sink.ids()) == list(range(40))
    assert max(moment for host, moment in sent if host == "host-0") < 1
    assert [moment for host, moment in sent if host == "host-1"][1] >= 7


@virtual
async def test_hosts_that_refuse_for_ever_are_not_asked_for_ever() -> None:
    """Each 429 is a try of its record, and the pauses grow where the host says nothing."""
    hosts, sent = Hosts(Limits(), now), list[float]()

    async def call(row: Row) -> None:
        sent.append(now())
        raise Throttled("never")

    sink = await worked(hosts, lambda _: "host", call, 1, retry=Retry(attempts=4, first=0.1))
    assert sink.dead() == [0]
    assert [round(later - earlier) for earlier, later in pairwise(sent)] == [1, 2, 4]


@virtual
async def test_hosts_are_forgotten_when_they_are_idle() -> None:
    """Names come from records: two thousand of them take little more room than one; who is paused is remembered."""
    hosts = Hosts(Limits(rate=Rate(10)), now)
    with pytest.raises(Transient):
        async with hosts.turn("paused"):
            raise Throttled("slow down", 3600)
    for number in range(2_000):
        async with hosts.turn(f"host-{number}"):
            await asyncio.sleep(0.01)
    assert len(hosts) < 1_200
    with pytest.raises(Postponed, match="paused has as much to do as it may") as postponed:
        async with hosts.turn("paused"):
            pass
    assert postponed.value.for_s > 3_000


async def test_http_holds_each_host_to_its_limits() -> None:
    """By the host's name, whatever the port; a second call at once is postponed, as is one after 429."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def answer(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await go_on.wait()
        writer.write(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n")

    async with (
        answering(answer) as url,
        saying("200 OK") as other,
        Http(a_run(), per_host=Limits(concurrency=1)) as http,
    ):
        throttled = asyncio.create_task(http.get(f"{url}/a"))
        await arrived.wait()
        with pytest.raises(Postponed):
            await http.get(f"{url}/b")
        assert (await http.get(f"{other.replace('127.0.0.1', 'localhost')}/c")).status == 200
        go_on.set()
        with pytest.raises(Transient, match="429") as error:
            await throttled
        assert not isinstance(error.value, Throttled)
        with pytest.raises(Postponed) as postponed:
            await http.get(f"{url}/d")
        assert postponed.value.for_s > 50
        with pytest.raises(Permanent, match="no URL"):
            await http.get("nonsense")
