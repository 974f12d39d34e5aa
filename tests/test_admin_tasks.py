"""worker/admin/tasks.py: a run that is asked for over HTTP becomes a task on ECS."""

import json
import re

from launching import environment
from local_ecs import LocalEcs
from payments import payments
from pyreqwest.client import ClientBuilder
from worker_process import worker

from worker.admin import tokens

QA = tokens.make("qa", ["read", "start:*", "stop:*"])


async def test_serve_on_ecs_starts_a_task_and_tells_how_it_went(local_ecs: LocalEcs, database_url: str) -> None:
    """Asked for with `wait`, the run is over; again it is what it was; what cannot be started is told with its reason."""
    async with payments(database_url, 20) as world:
        plain = dict(world.environment)
        kept = {name: plain.pop(name) for name in ("DATABASE_URL", "STRIPE_API_KEY")}
        local_ecs.register("poll-payments", kept, plain)
        around = environment(local_ecs, DATABASE_URL=database_url, ADMIN_TOKEN_HASHES=QA.entry)
        async with worker("serve", "--ecs", "--port", "0", **around) as serving:
            port = json.loads(await serving.text('"serving"'))["port"]
            headers = {"Authorization": f"Bearer {QA.token}"}
            async with ClientBuilder().base_url(f"http://127.0.0.1:{port}").default_headers(headers).build() as client:
                for _ in range(2):
                    asked = client.post("/admin/poll-payments").body_json(
                        {"run_key": "night", "max_affected": 20, "wait": 30}
                    )
                    response = await asked.build().send()
                    run = await response.json()
                    assert (response.status, run["status"], run["attempt"]) == (200, "succeeded", 1), run
                local_ecs.plant("access denied")
                asked = client.post("/admin/poll-payments").body_json({"run_key": "other", "wait": 30})
                response = await asked.build().send()
                refused = await response.json()
                assert response.status == 502
                assert re.search("not authorized to perform: ecs:RunTask", str(refused))
        [task] = local_ecs.tasks()
        assert task["overrides"]["containerOverrides"][0]["command"] == ["poll-payments", "--max-affected", "20"]
        assert local_ecs.end(task["taskArn"])["verdict"] == "succeeded"
        start = await local_ecs.line(task["taskArn"], "started")
        assert start["trigger"] == "admin"
