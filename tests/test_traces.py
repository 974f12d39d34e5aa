"""A run as one trace: what the Datadog Agent gets from a real worker with the real ddtrace, and what it costs when it does not listen."""

import asyncio
import signal
import socket
import sys
import time
from collections import Counter

import pytest
from aws import Aws
from payments import Payments, payments
from trace_agent import Agent, Span, agent
from worker_process import Worker, finished, worker

from jobs.local.digest_uploads import filled
from worker.cli.database import migrated
from worker.local.aws import Aws as Client

RECORDS = 60


def environment(world: Payments, url: str, **changes: str) -> dict[str, str]:
    """Give the environment of a traced run in six pages."""
    tracing = {"DD_TRACE_ENABLED": "true", "DD_TRACE_AGENT_URL": url, "TRACE_RECORDS": "1", "WORKER_PAGE_SIZE": "10"}
    return world.environment | tracing | changes


def names(spans: list[Span], parent: Span) -> Counter[str]:
    """Count the children of a span by their names."""
    return Counter(span.name for span in spans if span.parent_id == parent.span_id)


def strays(heard: Agent) -> list[Span]:
    """Find the spans that are in no trace of the run, or whose parent is not in it."""
    known = {span.span_id for span in heard.spans}
    run = heard.named("worker.run")[0]
    return [
        span for span in heard.spans if span.trace_id != run.trace_id or (span.parent_id not in known and span != run)
    ]


async def test_traces_a_run_is_one_trace(database_url: str) -> None:
    """Run, reads, pages, records and their calls are in one trace, each beneath what it belongs to, with the verdict and the counts."""
    async with payments(database_url, RECORDS) as world:
        with agent() as heard:
            code, ended = await finished(
                "poll-payments", **environment(world, heard.url, DD_ENV="test", RUN_KEY="night")
            )
    assert code == 0
    assert strays(heard) == []
    (run,) = heard.named("worker.run")
    assert (run.service, run.resource, run.error, run.meta["run_id"]) == (
        *["poll-payments"] * 2,
        0,
        "poll-payments:night",
    )
    assert (run.meta["verdict"], run.meta["env"]) == ("succeeded", "test")
    assert run.metrics["records.read"] == RECORDS == len(heard.named("worker.record"))
    assert run.metrics["_sampling_priority_v1"] == 2, "kept, whatever the agent's rates are"
    beneath = names(heard.spans, run)
    assert beneath["worker.read"] >= 6
    assert beneath["worker.page"] == len(heard.named("worker.commit")) >= 2
    for page in heard.named("worker.page"):
        assert names(heard.spans, page)["worker.commit"] == 1
    for record in heard.named("worker.record"):
        assert names(heard.spans, record) == {"http.request": 1}
    assert sum(page.metrics["results"] for page in heard.named("worker.page")) == ended.end["tally"]["done"]


async def test_traces_statements_are_beneath_what_sends_them(database_url: str) -> None:
    """Reads and commits have their SQL as children, and calls say no more of the other side than its host."""
    async with payments(database_url, RECORDS) as world:
        with agent() as heard:
            await finished("poll-payments", **environment(world, heard.url))
        host = world.environment["STRIPE_API_BASE"]
    for name in ("worker.read", "worker.write"):
        assert all(names(heard.spans, span)["postgres.query"] for span in heard.named(name)), name
    assert {(call.resource, call.meta["http.status_code"]) for call in heard.named("http.request")} == {
        (f"GET {host}", "200")
    }


@pytest.mark.parametrize("share", ["0", "1"])
async def test_traces_aws_calls_are_beneath_what_makes_them(share: str, database_url: str, aws: Aws) -> None:
    """Listing beneath reads, tables beneath writes; what is called for records only beneath those that are in the trace."""
    await migrated(database_url)
    async with Client(aws.url) as client:
        files = await filled(client, 5, bucket := aws.bucket().replace("test", "traced"), f"digests-{bucket}")
    with agent() as heard:
        world = {"DATABASE_URL": database_url, **aws.environment, "AWS_REGION": "us-east-1", **files}
        tracing = {"DD_TRACE_ENABLED": "true", "DD_TRACE_AGENT_URL": heard.url, "TRACE_RECORDS": share}
        code, _ = await finished("digest-uploads", **world, **tracing)
    assert code == 0
    assert strays(heard) == []
    names_of = {span.span_id: span.name for span in heard.spans}
    calls = {(names_of[call.parent_id], call.resource) for call in heard.spans if call.name.endswith(".command")}
    assert calls >= {("worker.read", "s3.listobjectsv2"), ("worker.write", "dynamodb.putitem")}
    for called in ("dynamodb.getitem", "s3.getobject"):  # by process alone
        assert {parent for parent, call in calls if call == called} == ({"worker.record"} if share == "1" else set())


async def test_traces_lines_carry_the_trace(database_url: str) -> None:
    """Each log line of the run names its trace as Datadog does, so that one leads to the other."""
    async with payments(database_url, RECORDS) as world:
        with agent() as heard:
            _, ended = await finished("poll-payments", **environment(world, heard.url))
    (run,) = heard.named("worker.run")
    ids = {(int(line["dd.trace_id"], 16) % 2**64, int(line["dd.span_id"])) for line in ended.lines if "event" in line}
    assert ids == {(run.trace_id, run.span_id)}


async def test_traces_have_what_fails_and_a_share_of_the_rest(database_url: str) -> None:
    """With a share of 0 only failing records are there, with their error; nothing else hangs beneath the run."""
    async with payments(database_url, RECORDS, fail=0.3) as world:
        with agent() as heard:
            _, ended = await finished("poll-payments", **environment(world, heard.url, TRACE_RECORDS="0"))
    tally = ended.end["tally"]
    records = heard.named("worker.record")
    assert len(records) == tally["failed"] + tally["retries"] > 0
    assert all(record.error and record.meta["error.type"] and record.meta["key"] for record in records)
    assert strays(heard) == []
    assert {call.parent_id for call in heard.named("http.request")} == {heard.named("worker.run")[0].span_id}, (
        "its check"
    )


async def test_traces_keep_secrets(database_url: str) -> None:
    """No secret is in any span, whoever put it there."""
    async with payments(database_url, RECORDS) as world:
        key = world.environment["STRIPE_API_KEY"]
        with agent() as heard:
            await finished("poll-payments", **environment(world, heard.url, DD_TAGS=f"note:told-{key}"))
    assert {span.meta["note"].partition("-")[0] for span in heard.spans} == {"told"}
    assert key not in str(heard.spans)


async def test_traces_of_a_stopped_run_arrive(database_url: str) -> None:
    """SIGTERM in the middle: exit 75, and the trace is closed and sent, ddtrace's own handler notwithstanding."""
    async with payments(database_url, 5_000, delay=0.02) as world:
        with agent() as heard:
            async with worker("poll-payments", **environment(world, heard.url, STOP_TIMEOUT="10")) as running:
                await world.calls.until(100)
                running.signal(signal.SIGTERM)
                assert await running.ended(within_s=10) == 75
                assert running.end["tally"]["unfinished"] < 5_000
                assert await running.errors() == ""
    (run,) = heard.named("worker.run")
    assert (run.meta["verdict"], run.error) == ("interrupted", 0)
    assert strays(heard) == []


def complaints(ended: Worker) -> list[str]:
    """Give the lines about an agent that does not listen."""
    return [line["event"] for line in ended.lines if "take all traces" in line.get("event", "")]


async def test_traces_an_agent_that_is_down_costs_little(database_url: str) -> None:
    """Nobody listens: the run is what it is, two seconds later at most, with one line that says so."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with payments(database_url, RECORDS) as world:
            code, ended = await finished("poll-payments", **environment(world, url))
    assert (code, len(complaints(ended))) == (0, 1)
    assert url in complaints(ended)[0]
    assert await ended.errors() == ""


async def test_traces_an_agent_that_never_answers_costs_little(database_url: str) -> None:
    """It takes what it is sent and hangs: the process has ended three seconds after the work, with the right exit code."""
    async with payments(database_url, RECORDS) as world:
        with agent(deaf=True) as heard:
            async with worker("poll-payments", **environment(world, heard.url)) as running:
                await running.line(lambda line: "verdict" in line)
                began = time.monotonic()
                assert await running.ended(within_s=10) == 0
                assert time.monotonic() - began < 4
                assert await running.errors() == ""
    assert len(complaints(running)) == 1


OFF = """
import runpy, sys
sys.argv = ["worker", "poll-payments"]
try:
    runpy.run_module("worker", run_name="__main__")
finally:
    assert not [name for name in sys.modules if name.startswith(("ddtrace", "worker.report.traces"))]
"""


async def test_traces_off_import_nothing(database_url: str) -> None:
    """A run without them has imported neither ddtrace nor what speaks to it."""
    async with payments(database_url, RECORDS) as world:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", OFF),
            env={**world.environment, "PATH": "", "DD_TRACE_ENABLED": "false"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"DD_TRACE_ENABLED": "yes"}, "DD_TRACE_ENABLED='yes'"), ({"DD_TRACE_ENABLED": "true"}, "no agent is named")],
)
async def test_traces_settings_are_checked(changes: dict[str, str], said: str) -> None:
    """A value that might mean either, or an agent that nobody named, is said before any work."""
    code, ended = await finished("poll-payments", **changes)
    assert code == 2
    assert any(said in fault for fault in ended.faults)
