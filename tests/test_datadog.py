"""worker/report/datadog.py: what the Datadog Agent hears, and what the run pays when it does not listen."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from datagrams import Received, agent, parse
from hypothesis import given
from hypothesis import strategies as st

from worker.environment import Settings, settings
from worker.events import Commit, Progress, Reporter, Start, Summary
from worker.report import metrics
from worker.report.datadog import datadog_reporter
from worker.report.dogstatsd import address
from worker.tally import Tally
from worker.verdict import Verdict

START = Start(
    job="poll-payments",
    run_id="poll-payments:secret-key",
    run_key="secret-key",
    attempt=1,
    started_at=datetime.now(UTC),
)
END = Summary(
    start=START,
    verdict=Verdict.COMPLETED_WITH_FAILURES,
    ended_at=datetime.now(UTC),
    duration_s=12.5,
    tally=Tally(read=10, done=4, failed=2, skipped={"unchanged": 3}, retries=5, throttled=2),
    throttled_s=1.5,
    oldest_age_s=0.75,
    counters={"bytes": 1_500, "rcu": 0.5},
)


def reporter(environ: dict[str, str]) -> Reporter:
    found = datadog_reporter(settings(environ), "poll-payments")
    assert found is not None
    return found


async def whole_run(to: Reporter, end: Summary = END) -> None:
    to.started(end.start)
    early = Tally(read=6, done=5, skipped={"unchanged": 1}, retries=1)
    to.progress(Progress(elapsed_s=0.5, tally=early, total=10, in_flight=3, rate=12.0, oldest_age_s=0.5))
    to.committed(Commit(number=1, records=6, written=5, cursor=[6], open_keys=0, duration_s=0.02))
    later = replace(early, read=9, failed=2, throttled=1)
    to.progress(Progress(elapsed_s=1.0, tally=later, total=10, in_flight=4, rate=11.0, throttled_s=0.5))
    await to.ended(end, 5.0)


def total(heard: list[Received], name: str, **tags: str) -> float:
    return sum(one.value for one in heard if one.name == name and tags.items() <= one.tags.items())


@pytest.fixture(params=["udp", "unix"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_datadog_totals_are_exact(transport: str, tmp_path: Path) -> None:
    """What was sent in parts adds up to the summary's counts, also where a done record became a skipped one."""
    with agent(transport, tmp_path) as listening:
        await whole_run(reporter({"DD_DOGSTATSD_URL": listening.url}))
    heard = listening.heard()
    assert {outcome: total(heard, "worker.records", outcome=outcome) for outcome in ("done", "skipped", "failed")} == {
        "done": 4,
        "skipped": 3,
        "failed": 2,
    }
    assert total(heard, "worker.records", outcome="unfinished") == 1
    assert total(heard, "worker.records") == END.tally.read
    assert total(heard, "worker.retries") == 5
    assert total(heard, "worker.throttled") == 2
    assert total(heard, "worker.throttled.time") == 1.5
    assert total(heard, "worker.commit.written") == 5


async def test_datadog_says_how_it_began_stands_and_ended(transport: str, tmp_path: Path) -> None:
    """Start, standing and end arrive, in this order, the end with its verdict."""
    with agent(transport, tmp_path) as listening:
        await whole_run(reporter({"DD_DOGSTATSD_URL": listening.url}))
    heard = listening.heard()
    assert heard[0].name == "worker.run.started"
    assert total(heard, "worker.run.ended", verdict="completed_with_failures") == 1
    assert total(heard, "worker.run.duration", verdict="completed_with_failures") == 12.5
    assert [one.value for one in heard if one.name == "worker.in_flight"] == [3, 4, 0]
    assert [one.value for one in heard if one.name == "worker.progress"] == [0.6, 0.8]
    assert [one.value for one in heard if one.name == "worker.record.age"] == [0.5, 0, 0.75]
    assert [one.value for one in heard if one.name == "worker.commit.duration"] == [0.02]


async def test_datadog_sends_what_the_table_says(transport: str, tmp_path: Path) -> None:
    """Every metric of the table is sent, no other, each with its type and no tag but its own and the common ones."""
    with agent(transport, tmp_path) as listening:
        await whole_run(reporter({"DD_DOGSTATSD_URL": listening.url, "DD_ENV": "prod", "DD_VERSION": "1.2"}))
    heard = listening.heard()
    table = {metric.name: metric for metric in metrics.METRICS}
    assert {one.name for one in heard} == set(table)
    for one in heard:
        assert one.type == {"distribution": "d", "gauge": "g"}[table[one.name].kind]
        assert set(one.tags) <= {*metrics.COMMON_TAGS, *table[one.name].tags}


async def test_datadog_tags_every_metric(transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Job, env, service, version and shard are on every metric, once, and nothing that names the run."""
    for name, value in {"DD_ENV": "other", "DD_SERVICE": "other", "DD_VERSION": "other", "DATADOG_TAGS": "a:b"}.items():
        monkeypatch.setenv(name, value)  # the client reads these by itself
    environ = {"DD_ENV": "prod", "DD_SERVICE": "billing", "DD_VERSION": "1.2.3"}
    with agent(transport, tmp_path) as listening:
        await whole_run(
            reporter({"DD_DOGSTATSD_URL": listening.url, **environ}), replace(END, start=replace(START, shard="1/4"))
        )
    common = {"job": "poll-payments", "env": "prod", "service": "billing", "version": "1.2.3", "shard": "1/4"}
    for one in listening.heard():
        assert common.items() <= one.tags.items()
        assert "secret-key" not in str(one)


async def test_datadog_service_is_the_job_and_version_the_runs_by_default(tmp_path: Path) -> None:
    """What DD_SERVICE and DD_VERSION do not say is known from the run; there is no env then."""
    with agent("udp", tmp_path) as listening:
        await whole_run(
            reporter({"DD_DOGSTATSD_URL": listening.url}), replace(END, start=replace(START, version="abc123"))
        )
    assert {tuple(sorted(one.tags.items()))[:1] for one in listening.heard() if one.name == "worker.retries"} == {
        (("job", "poll-payments"),)
    }
    assert all(one.tags["service"] == "poll-payments" for one in listening.heard())
    assert all(one.tags["version"] == "abc123" and "env" not in one.tags for one in listening.heard())


async def test_datadog_bounds_the_reasons(tmp_path: Path) -> None:
    """A job whose skip reasons carry numbers, or never end, makes few tags, and the sum stays right."""
    reasons = {f"older than {day} days": 1 for day in range(50)} | {"x" * size: 1 for size in range(1, 40)}
    with agent("udp", tmp_path) as listening:
        to = reporter({"DD_DOGSTATSD_URL": listening.url})
        await to.ended(replace(END, tally=Tally(read=89, skipped=reasons)), 5.0)
    heard = listening.heard()
    tags = Counter(one.tags["reason"] for one in heard if one.tags.get("outcome") == "skipped")
    assert len(tags) == 11
    assert tags["older_than_n_days"] == 50
    assert total(heard, "worker.records", outcome="skipped") == 89


@pytest.mark.parametrize("name", [verdict.word for verdict in Verdict])
def test_datadog_every_verdict_is_a_tag(name: str) -> None:
    """A verdict's word, with the spaces that tags cannot have replaced."""
    from worker.report.datadog import _value

    assert re.fullmatch(r"[a-z_]+", _value(name))


@given(st.text())
def test_datadog_tag_values_keep_the_format(text: str) -> None:
    """Whatever a name holds, the datagram stays one that the agent can read."""
    from worker.report.datadog import _value

    value = _value(text) or "none"
    assert parse(f"worker.records:1|d|#reason:{value}\n".encode())[0].tags == {"reason": value}


# -- an agent that does not listen ----------------------------------------------------------------------------------


@pytest.fixture
def full_socket(tmp_path: Path) -> Iterator[str]:
    """Give the path of a datagram socket whose queue is full, because nobody reads it."""
    path = str(tmp_path / "full.socket")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler,
    ):
        deaf.bind(path)
        filler.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                filler.sendto(b"x", path)
        yield path


async def seconds_of(to: Reporter) -> float:
    began = time.monotonic()
    await whole_run(to)
    return time.monotonic() - began


async def test_datadog_nobody_listening_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A closed port is no error, and at most one log line."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    assert await seconds_of(reporter({"DD_DOGSTATSD_URL": f"udp://127.0.0.1:{port}"})) < 1.0
    assert len(caplog.records) <= 1


async def test_datadog_a_missing_socket_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A socket that is not there costs nothing but one line that names it."""
    path = tmp_path / "none.socket"
    assert await seconds_of(reporter({"DD_DOGSTATSD_SOCKET": str(path)})) < 1.0
    assert [record.getMessage() for record in caplog.records] == [
        f"the Datadog Agent at unix://{path} does not take all metrics; the run goes on without them"
    ]


async def test_datadog_a_full_socket_is_bounded(
    full_socket: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that stopped reading holds the end up for the goodbye's time at most."""
    monkeypatch.setattr("worker.report.datadog._LONGEST_GOODBYE_S", 0.2)
    assert await seconds_of(reporter({"DD_DOGSTATSD_SOCKET": full_socket})) < 1.0
    assert len(caplog.records) == 1


async def test_datadog_a_name_that_does_not_resolve_is_bounded() -> None:
    """A wrong DD_AGENT_HOST holds the end up for the goodbye's time at most (RFC 6761: .invalid never resolves)."""
    assert await seconds_of(reporter({"DD_AGENT_HOST": "agent.invalid"})) < 3.0


async def test_datadog_a_resolver_that_hangs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that never answers holds up neither the run nor its end."""
    answered = threading.Event()

    def hang(*_: object, **__: object) -> None:
        answered.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "at last")

    monkeypatch.setattr("worker.report.datadog._LONGEST_GOODBYE_S", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        assert await seconds_of(reporter({"DD_AGENT_HOST": "agent"})) < 1.0
    finally:
        answered.set()


async def test_datadog_the_budget_bounds_the_end(full_socket: str) -> None:
    """A smaller budget than the goodbye's time is kept."""
    to = reporter({"DD_DOGSTATSD_SOCKET": full_socket})
    to.started(START)
    began = time.monotonic()
    await to.ended(END, 0.05)
    assert time.monotonic() - began < 0.8


async def test_datadog_a_long_deaf_run_keeps_a_bounded_queue(full_socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hours of progress to an agent that stopped reading are not kept; what found no room is counted later."""
    monkeypatch.setattr("worker.report.datadog._LONGEST_GOODBYE_S", 0.0)
    to = reporter({"DD_DOGSTATSD_SOCKET": full_socket})
    for done in range(1_000):
        to.progress(Progress(elapsed_s=done, tally=Tally(read=done, done=done)))
    waiting = vars(vars(to)["_sender"])["_batches"]
    assert waiting.qsize() <= 100
    await to.ended(END, 0.0)


# -- whether, and where to ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"DD_AGENT_HOST": "agent"}, "udp://agent:8125"),
        ({"DD_AGENT_HOST": "agent", "DD_DOGSTATSD_SOCKET": "/dsd"}, "unix:///dsd"),
        ({"DD_DOGSTATSD_URL": "udp://h:9125", "DD_DOGSTATSD_SOCKET": "/dsd"}, "udp://h:9125"),
        ({"DD_DOGSTATSD_URL": "udp://h"}, "udp://h:8125"),
        ({"DD_DOGSTATSD_URL": "unix:///var/run/datadog/dsd.socket"}, "unix:///var/run/datadog/dsd.socket"),
        ({}, "None"),
    ],
)
def test_datadog_finds_the_agent(environ: dict[str, str], expected: str) -> None:
    """The URL comes before the socket, and the socket before the host."""
    assert str(address(settings(environ))) == expected


def test_datadog_is_not_imported_when_not_asked_for() -> None:
    """A run without an agent does not pay for the client."""
    code = (
        "import sys\n"
        "from worker.environment import Settings\n"
        "from worker.report.datadog import datadog_reporter\n"
        "assert datadog_reporter(Settings(), 'poll-payments') is None\n"
        "assert datadog_reporter(Settings(dd_agent_host='agent'), 'poll-payments') is not None\n"
        "assert 'datadog' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_datadog_none_when_not_set() -> None:
    """No agent, no reporter."""
    assert datadog_reporter(Settings(), "poll-payments") is None
