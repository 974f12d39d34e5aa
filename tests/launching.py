"""A launcher over a real run store and the local ECS, as tests open it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from definitions import filled
from local_ecs import LocalEcs

from worker.aws.calls import Calls
from worker.aws.cluster import Cluster
from worker.aws.definition_faults import environment_of
from worker.aws.launcher import Launcher
from worker.aws.placing import Placing
from worker.database import Link
from worker.launches import Launches
from worker.retry import Retry
from worker.store.launches import PostgresLaunches
from worker.store.migrate import migrate

JOB = "poll-payments"


class World:
    """A launcher, its launches and its ECS."""

    def __init__(self, launcher: Launcher, launches: Launches, ecs: LocalEcs, link: Link) -> None:
        self.launcher, self.launches, self.ecs, self._link = launcher, launches, ecs, link
        self.url = link.url

    async def sql(self, statement: str) -> list[Any]:
        """Ask the run store's database."""
        async with self._link.using() as connection:
            return list(await connection.fetch(statement))

    async def launch(self, **values: Any) -> Any:
        """Start a run of poll-payments, or of another job."""
        return await self.launcher.launch({"job": JOB, "run_key": "night", "trigger": "scheduler", **values})


@asynccontextmanager
async def launching(ecs: LocalEcs, url: str, **changes: Any) -> AsyncIterator[World]:
    """Give a launcher that hardly pauses, over the run store in this database."""
    cluster = Cluster(**{"name": ecs.cluster, "subnets": ("subnet-1",), "security_groups": ("sg-1",), **changes})
    async with Link(url, "launches") as link, Link(url, "test") as other, Calls("launcher") as calls:
        await migrate(link)
        launches = PostgresLaunches(link)
        placing = Placing(calls, cluster.name, Retry(attempts=4, first=0.01, longest=0.05), patience_s=10)
        yield World(Launcher(launches, calls, cluster, placing, pause_s=0.02), launches, ecs, other)


def register(ecs: LocalEcs, job: str, **plain: str) -> None:
    """Register a job whose tasks never start, for their secrets are not there: no process is needed to see who was launched."""
    definition = filled(job)
    worker = definition["containerDefinitions"][0]
    variables = environment_of(worker) | plain
    worker["environment"] = [{"name": name, "value": value} for name, value in variables.items()]
    ecs.ecs.register_task_definition(**definition)


def register_waiting(ecs: LocalEcs, job: str, secret: str, **plain: str) -> None:
    """Register a job whose tasks live until they are struck: they wait for a database that does not answer."""
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere", secret: "whsec_bm9ib2R5"}
    ecs.register(job, nowhere, {"CONNECT_TIMEOUT": "30", **plain})


def environment(ecs: LocalEcs, **more: str) -> dict[str, str]:
    """Give the variables of a launcher's process."""
    network = {"LAUNCH_CLUSTER": ecs.cluster, "LAUNCH_SUBNETS": "subnet-1", "LAUNCH_SECURITY_GROUPS": "sg-1"}
    return {**ecs.environment, **network, **more}
