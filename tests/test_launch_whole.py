"""`launch` and the launcher function, down to what the task's worker does: real processes, and records that are worked on."""

import asyncio
import json
from typing import Any

import pytest
from launch_events import batch, created
from launching import environment, register, register_waiting
from local_ecs import LocalEcs
from payments import payments
from worker_process import worker

from worker.aws import launcher
from worker.cli.database import migrated
from worker.functions.launcher import handler
from worker.store.table import Table
from worker.store.table_launches import TableLaunches
from worker.store.table_making import migrate as make_table


async def test_launch_command_runs_a_job_on_ecs(local_ecs: LocalEcs, database_url: str) -> None:
    """One line says which task and what comes next; the same again is known, and its worker says why it was started."""
    async with payments(database_url, 20) as world:
        plain = dict(world.environment)
        kept = {name: plain.pop(name) for name in ("DATABASE_URL", "STRIPE_API_KEY")}
        local_ecs.register("poll-payments", kept, plain)
        around = environment(local_ecs, DATABASE_URL=database_url, USER="tester")
        command = ("launch", "poll-payments", "--run-key", "night", "--scope", "merchant_id=1")
        async with worker(*command, **around) as first:
            line = await first.output()
        [task] = local_ecs.tasks()
        assert line == (
            f"poll-payments:night started as task {task['taskArn']}; next: python -m worker runs show poll-payments:night\n"
        )
        await local_ecs.until(task["taskArn"], "STOPPED")
        async with worker(*command, "--json", **around) as again:
            told = json.loads(await again.output())
        assert (told["answer"], told["told"]["state"]) == ("known", "succeeded")
        start = await local_ecs.line(task["taskArn"], "started")
        said = {name: start[name] for name in ("trigger", "started_by", "correlation_id", "run_id")}
        assert said == {
            "trigger": "hand",
            "started_by": "tester",
            "correlation_id": task["startedBy"],
            "run_id": "poll-payments:night",
        }
        [row] = await world.sql("SELECT summary::text AS summary FROM worker.attempts")
        assert json.loads(row["summary"])["start"]["cause"]["correlation_id"] == task["startedBy"]


async def test_launch_command_says_all_that_is_wrong(local_ecs: LocalEcs) -> None:
    """Exit 2: here, the environment; nothing is started."""
    async with worker("launch", "poll-payments", LAUNCH_CLUSTER=local_ecs.cluster) as running:
        assert await running.ended() == 2
        assert [fault.partition(" is not set")[0] for fault in running.faults] == [
            "DATABASE_URL",
            "LAUNCH_SUBNETS",
            "LAUNCH_SECURITY_GROUPS",
        ]
    assert local_ecs.tasks() == []


async def test_launch_names_what_is_in_the_way(local_ecs: LocalEcs, database_url: str) -> None:
    """Exit 75, and the next command shows a run that there is, or will be: its task has not begun it."""
    await migrated(database_url)
    register_waiting(local_ecs, "poll-payments", "STRIPE_API_KEY")
    around = environment(local_ecs, DATABASE_URL=database_url)
    async with worker("launch", "poll-payments", "--run-key", "first", **around) as running:
        await running.output()
    async with worker("launch", "poll-payments", "--run-key", "second", **around) as running:
        line = await running.text("no room for poll-payments:second: ")
        assert await running.exit_code() == 75
    assert line.endswith("next: python -m worker runs show poll-payments:first\n")
    async with worker("runs", "show", "poll-payments:first", **around) as running:
        assert await running.ended() == 2
        [fault] = running.faults
    assert "yet: a task that was just started needs a minute or two" in fault


@pytest.mark.parametrize("away", ["DATABASE_URL", "RUN_TABLE"])
async def test_launch_says_what_is_away(local_ecs: LocalEcs, away: str) -> None:
    """Exit 75: nothing is wrong with the command, and the same again may go through."""
    nobody = {"DATABASE_URL": "postgresql://shop@127.0.0.1:9/shop", "RUN_TABLE": "runs"}
    around = environment(local_ecs, **{away: nobody[away]}) | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    async with worker("launch", "expire-sessions", "--run-key", "x", **around) as running:
        assert await running.ended() == 75
        [fault] = running.faults
    assert fault.startswith("nothing is known to be started: ")
    assert "127.0.0.1:9" in fault


async def test_launch_keeps_its_launches_in_dynamodb_where_the_runs_are(local_ecs: LocalEcs) -> None:
    """A job without PostgreSQL is launched as well."""
    around = environment(local_ecs, RUN_TABLE=f"runs-{local_ecs.cluster}")
    register(local_ecs, "expire-sessions")
    async with Table(around["RUN_TABLE"], "test") as table:
        await make_table(table)
    async with worker("launch", "expire-sessions", "--run-key", "x", **around) as running:
        assert "started as task" in await running.output()
    async with Table(around["RUN_TABLE"], "test") as table:
        [launch] = await TableLaunches(table).live()
    assert (launch.run_id, launch.task_arn) == ("expire-sessions:x", local_ecs.tasks()[0]["taskArn"])


async def test_launch_says_that_its_run_table_is_not_there(local_ecs: LocalEcs) -> None:
    """And what makes it."""
    around = environment(local_ecs, RUN_TABLE=f"nobody-made-{local_ecs.cluster}")
    async with worker("launch", "expire-sessions", **around) as running:
        assert await running.ended() == 2
        [fault] = running.faults
    assert "(RUN_TABLE) is not there, or not whole: run python -m worker migrate" in fault


async def test_upload_is_digested_once_though_it_is_told_twice(
    local_ecs: LocalEcs, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3's event, the launcher, the task, the table; the scope goes by SCOPE_REF, as one that is too long does."""
    monkeypatch.setattr(launcher, "LONGEST", 100)
    await migrated(database_url)
    bucket, table = local_ecs.bucket(versioned=True), f"digests-{local_ecs.cluster}"
    made = local_ecs.s3.put_object(Bucket=bucket, Key="uploads/a.csv", Body=b"1\n2\n")
    dynamodb = local_ecs.client("dynamodb")
    dynamodb.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "object", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "object", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    plain = {**local_ecs.environment, "UPLOADS_BUCKET": bucket, "DIGESTS_TABLE": table}
    local_ecs.register("digest-uploads", {"DATABASE_URL": database_url}, plain)
    for name, value in environment(local_ecs, DATABASE_URL=database_url, LAUNCH_BUCKET=bucket).items():
        monkeypatch.setenv(name, value)
    event: dict[str, Any] = created("uploads/a.csv", **{"version-id": made["VersionId"]})
    event["detail"]["bucket"]["name"] = bucket
    told = [await asyncio.to_thread(handler, one, None) for one in (event, batch(event))]
    assert told[0]["answers"][0]["answer"] == "launched"
    assert told[1] == {"batchItemFailures": []}
    [task] = local_ecs.tasks()
    assert "SCOPE_REF" in str(task["overrides"])
    assert "a.csv" not in str(task["overrides"])
    await local_ecs.until(task["taskArn"], "STOPPED")
    end = local_ecs.end(task["taskArn"])
    assert (end["verdict"], end["tally"]["done"]) == ("succeeded", 1)
    [item] = dynamodb.scan(TableName=table)["Items"]
    assert (item["object"], item["lines"]) == ({"S": f"{bucket}/uploads/a.csv"}, {"N": "2"})
    dynamodb.close()


@pytest.mark.parametrize(
    ("ref", "said"),
    [("s3://nobody/nothing.json", "cannot be read"), ("https://elsewhere/x", "no address of the form s3://bucket/key")],
)
async def test_worker_says_which_scope_it_cannot_read(local_ecs: LocalEcs, ref: str, said: str) -> None:
    """Before anything else: exit 2, with the reference."""
    around = {**local_ecs.environment, "SCOPE_REF": ref, "DATABASE_URL": "postgresql://nobody", "STRIPE_API_KEY": "x"}
    async with worker("poll-payments", **around) as running:
        assert await running.ended() == 2
        [fault] = running.faults
    assert ref in fault
    assert said in fault
