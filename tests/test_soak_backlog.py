"""A queue's backlog, from the launcher's tick to the last webhook: many messages, few tasks, all of it real."""

import asyncio
from types import SimpleNamespace

import pytest
from launching import environment
from local_ecs import LocalEcs
from test_deliver_webhooks import World, world

from worker.functions.launcher import handler

__all__ = ["world"]

JOB, CAP = "deliver-webhooks", 4
TICK = {"job": JOB, "backlog": True}


@pytest.mark.soak
async def test_backlog_of_a_thousand_messages_is_worked_off_by_four_tasks(
    local_ecs: LocalEcs,
    world: World,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ticks come twice; never more than four tasks live; the queue is empty, each webhook delivered, poison put aside."""
    plain = dict(world.environment)
    secret = {name: plain.pop(name) for name in ("DATABASE_URL", "WEBHOOK_SECRET")}
    local_ecs.register(JOB, secret, plain)
    around = environment(local_ecs, DATABASE_URL=database_url, AWS_ENDPOINT_URL_SQS=plain["AWS_ENDPOINT_URL"])
    for name, value in around.items():
        monkeypatch.setenv(name, value)
    webhooks = await world.send_webhooks(980)
    await world.send(*(["no webhook"] * 20))
    most, tick = 0, 0
    async with asyncio.timeout(300):
        while True:
            tick += 1
            context = SimpleNamespace(aws_request_id=f"tick-{tick}")
            await asyncio.gather(*(asyncio.to_thread(handler, TICK, context) for _ in range(2)))
            tasks = await asyncio.to_thread(local_ecs.tasks)
            live = sum(task["lastStatus"] != "STOPPED" for task in tasks)
            most = max(most, live)
            if not live and not world.queue.kept:
                break
            await asyncio.sleep(0.2)
    assert most == CAP
    assert set(world.delivered) == webhooks
    assert len(world.dead.kept) == 20
