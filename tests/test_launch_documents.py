"""docs/launcher.md: its commands are run, its requests are taken, its code is a job's."""

import asyncio
import json
import re
import shlex

from launching import environment
from local_ecs import LocalEcs
from test_documents import ROOT, commands
from worker_process import worker

from worker import Backlog, ObjectCreated, Size
from worker.cli.database import migrated
from worker.launches import Launched
from worker.registry import load
from worker.request import FIELDS, read

PAGE = (ROOT / "docs" / "launcher.md").read_text(encoding="utf-8")
COMMANDS = sorted({command for _, command in commands() if command.startswith("python -m worker launch")})


async def test_launcher_document_commands_work(local_ecs: LocalEcs, database_url: str) -> None:
    """Each starts its task."""
    await migrated(database_url)
    queue = local_ecs.sqs.create_queue(QueueName=f"{local_ecs.cluster}-hooks")["QueueUrl"]
    local_ecs.sqs.send_message(QueueUrl=queue, MessageBody="{}")
    local_ecs.register("poll-payments", {}, {})
    local_ecs.register("deliver-webhooks", {}, {"WEBHOOK_QUEUE_URL": queue})
    for command in COMMANDS:
        around = environment(local_ecs, DATABASE_URL=database_url)
        async with worker(*shlex.split(command)[3:], **around) as running:
            assert "started as task" in await running.output()
        await asyncio.gather(*(local_ecs.until(task["taskArn"], "STOPPED") for task in local_ecs.tasks()))
    assert len(local_ecs.tasks()) == len(COMMANDS) >= 3


def test_launcher_document_requests_are_taken() -> None:
    """The schedule's input, with its time filled in; and the fields are named, all of them."""
    written = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert written
    for text in written:
        read(json.loads(text.replace("<aws.scheduler.scheduled-time>", "2026-11-23T02:00:00Z")), load)
    assert {name for name in FIELDS if f"`{name}`" not in PAGE} == set()


def test_launcher_document_declarations_are_those_of_jobs() -> None:
    """What a job file may say is what the jobs here do say."""
    names = {"ObjectCreated": ObjectCreated, "Backlog": Backlog, "Size": Size}
    said = [eval(text, names) for text in re.findall(r"= ((?:ObjectCreated|Backlog|Size)\([^)]*\))", PAGE)]
    assert load("digest-uploads").on_object in said
    assert load("deliver-webhooks").backlog in said
    assert any(isinstance(each, Size) for each in said)
    assert Launched.__name__ in PAGE
