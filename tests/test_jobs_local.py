"""Each job on this machine, from nothing: it works, a second run finds nothing to do, and a dry run changes nothing."""

import asyncio
from collections.abc import Awaitable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import asyncpg
import pytest
from rights import granted, needed, recording
from stacks import alarmed, plotted
from state import state
from worker_process import finished, worker

from worker import registry
from worker.cli.arguments import job_parser
from worker.cli.stack import local_stack
from worker.local.aws import Aws
from worker.local.child import Local
from worker.local.stack import PROVIDED
from worker.report.emf import AGAINST_USUAL

JOBS = registry.names()
QUICK = {"WORKER_RATE": "0"}
RECORDS = "--records=12"
SEEN = {
    "TableName": "seen",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.mark.parametrize("job", JOBS)
async def test_job_runs_locally_and_finds_nothing_to_do_the_second_time(job: str, tmp_path: Path) -> None:
    """It starts what it needs and works; right after it a further run has nothing left to do.

    Its alarms and plots have their metrics, and its task all rights that it needs; a job without a template needs none.
    """
    calls = tmp_path / "calls"
    async with worker(job, "--local", "--twice", RECORDS, **QUICK, **recording(calls)) as running:
        code = await running.ended()
        said = await running.errors()
    assert code == 0, (said, running.lines)
    assert said.startswith("started ")
    first, second = (line["tally"] for line in running.lines if "verdict" in line)
    assert first["done"] > 0
    assert second["done"] == 0, second
    wanted = {metric["MetricName"] for metric in alarmed()} | {name for _, name, *_ in plotted()}
    for needs, has in zip(needed(calls), granted(job), strict=True):
        assert needs <= has
    assert bool(needed(calls)[0]) == bool(granted(job)[0])
    assert {(name, "Job", job) for name in wanted - set(AGAINST_USUAL)} <= measured(running.lines)


def test_jobs_local_name_what_they_take_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the environment names all that a job needs, nothing is started or filled: the first line says whose it works on."""
    for variable in PROVIDED.values():
        monkeypatch.setenv(variable, "elsewhere")
    job = registry.load("poll-payments")
    with local_stack(job_parser(job).parse_args(["--local", "--records=5"]), job):
        said = capsys.readouterr().err
    assert said == "using DATABASE_URL, STRIPE_API_BASE of the environment: as it is, nothing seeded\n"


def measured(lines: list[dict[str, Any]]) -> set[tuple[str, ...]]:
    """Give the metrics that CloudWatch takes from these lines, each with its dimensions and their values."""
    return {
        (metric["Name"], *(part for dimension in by for part in (dimension, line[dimension])))
        for line in lines
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ())
        for by in directive["Dimensions"]
        for metric in directive["Metrics"]
        if isinstance(line[metric["Name"]], (int, float))
    }


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, str]]:
    """Give the environment of a local stack that all jobs have filled."""
    with Local([RECORDS]) as local:
        yield local.environment


@pytest.mark.parametrize("job", JOBS)
async def test_job_changes_nothing_in_a_dry_run(job: str, stack: dict[str, str]) -> None:
    """Every table, bucket and queue is as before, and no webhook is sent; the records were worked on all the same."""
    before = await state(stack)
    code, dry = await finished(job, "--dry-run", **stack, **QUICK)
    assert code == 0, dry.lines
    assert dry.end["tally"]["read"] > 0
    assert await state(stack) == before


async def test_job_state_is_all_that_a_job_can_change(stack: dict[str, str]) -> None:
    """A row, an object, another body, an item, a message, a webhook: each is seen."""
    connection = await asyncpg.connect(stack["DATABASE_URL"])
    async with Aws(stack["AWS_ENDPOINT_URL"]) as aws:
        await connection.execute("CREATE TABLE seen (id int)")
        await aws.call("s3", "create_bucket", Bucket="seen")
        await aws.call("dynamodb", "create_table", **SEEN)
        queue = (await aws.call("sqs", "create_queue", QueueName="seen"))["QueueUrl"]
        changes: list[Awaitable[object]] = [
            connection.execute("INSERT INTO seen VALUES (1)"),
            aws.call("s3", "put_object", Bucket="seen", Key="one", Body=b"1"),
            aws.call("s3", "put_object", Bucket="seen", Key="one", Body=b"2"),
            aws.call("dynamodb", "put_item", TableName="seen", Item={"id": {"S": "1"}}),
            aws.call("sqs", "send_message", QueueUrl=queue, MessageBody="1"),
            asyncio.to_thread(urlopen, stack["WEBHOOKS_URL"], b"{}"),
        ]
        states = [await state(stack)]
        for change in changes:
            await change
            states.append(await state(stack))
    await connection.close()
    assert all(before != after for before, after in pairwise(states))
