"""How many tasks a queue's backlog needs, and which of them are missing."""

from collections.abc import Sequence
from typing import Any

from worker.aws.calls import Calls
from worker.aws.definition_faults import environment_of, worker_of
from worker.claim import lease_of
from worker.errors import Faults
from worker.job import Job
from worker.launches import Launch
from worker.request import Request
from worker.scope import encode, parse


async def waiting(calls: Calls, job: type[Job[Any]]) -> int:
    """Count the messages that wait in the job's queue, about: of which the task definition has the URL. Raises Faults."""
    if job.backlog is None:
        raise Faults([f"{job.name} works off no backlog: its class says none"])
    answer = await calls("ecs", "describe_task_definition", taskDefinition=job.name)
    url = environment_of(worker_of(answer["taskDefinition"])).get(job.backlog.queue)
    if not url:
        raise Faults(
            [f"the task definition {job.name} has no {job.backlog.queue}, which names the queue of its backlog"]
        )
    asked = {"QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"]}
    answer = await calls("sqs", "get_queue_attributes", **asked)
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def missing(request: Request, messages: int, live: Sequence[Launch]) -> list[dict[str, Any]]:
    """Give the requests for the tasks that so many messages need and that do not live, each a part of its own."""
    job = request.job
    assert job.backlog is not None, "its messages were counted"
    needed = min(-(-messages // job.backlog.per_task), job.max_tasks)
    taken = {launch.lease for launch in live}
    mine = [launch for launch in live if launch.job == job.name and not launch.dry_run]
    parts = [{**encode(request.scope), job.backlog.field: part} for part in range(job.max_tasks)]
    free = [part for part in parts if lease_of(job.name, parse(job.Scope, part)) not in taken]
    said = {
        name: value for name, value in request.values().items() if name != "scope_ref"
    }  # each has a scope of its own
    return [
        {**said, "scope": part, "run_key": f"{request.run_key}-{part[job.backlog.field]}", "trigger": "backlog"}
        for part in free[: max(0, needed - len(mine))]
    ]
