"""A night of payments on the whole path: what the schedule fires for, and how it must end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from firing import by_scheduler
from function_server import Functions
from local_ecs import LocalEcs
from payments import Payments, expected, payments
from slack_server import Reply, Slack, slack
from whole_path import WholePath

NIGHT = "2026-11-23T02:00:00Z"
PAYMENTS = 60
COUNT_WRITES = (
    "CREATE TABLE writes (id bigint)",
    """CREATE FUNCTION count_write() RETURNS trigger LANGUAGE plpgsql AS
       'BEGIN INSERT INTO writes VALUES (NEW.id); RETURN NEW; END'""",
    """CREATE TRIGGER count_writes AFTER UPDATE OF status ON payments FOR EACH ROW EXECUTE FUNCTION count_write()""",
)


class Night:
    """A night's payments and the path to them."""

    def __init__(self, path: WholePath, world: Payments, channel: Slack, before: dict[str, str]) -> None:
        self.path, self.ecs, self.world, self.channel, self._before = path, path.ecs, world, channel, before

    async def fire(self, fire: Callable[..., dict[str, Any]] = by_scheduler) -> dict[str, Any]:
        """Have the schedule fire."""
        return await self.path.launch(fire("poll-payments", NIGHT))

    async def half_way(self) -> str:
        """Have the schedule fire, and wait until a slow task has asked for a third of the payments; give it."""
        self.register(WORKER_RATE="30")
        await self.fire()
        await self.world.calls.until(PAYMENTS // 3)
        [arn] = self.ecs.ecs.list_tasks(cluster=self.ecs.cluster)["taskArns"]
        return str(arn)

    def register(self, **more: str) -> None:
        """Register the job's definition."""
        environment = self.world.environment | {"WORKER_PAGE_SIZE": "10"} | more
        self.path.register("poll-payments", environment, "STRIPE_API_KEY")

    async def is_done(self) -> None:
        """Hold all statuses to what they should be, each written once, the run to success, and the launcher to have nothing left."""
        assert await self.world.statuses() == expected(self._before)
        assert await self.world.sql("SELECT id FROM writes GROUP BY id HAVING count(*) > 1") == []
        runs = await self.world.sql("SELECT run_key, status FROM worker.runs WHERE parent IS NULL")
        assert [(run["run_key"], run["status"]) for run in runs] == [(NIGHT, "succeeded")]
        assert await self.world.sql("SELECT id FROM worker.launches WHERE state IN ('reserved', 'placed')") == []
        assert self.path.buried() == []
        assert self.ecs.troubles() == []

    def said(self) -> list[str]:
        """Give what was posted to Slack."""
        return [str(message) for _, _, message in self.channel.posted]


@asynccontextmanager
async def a_night(ecs: LocalEcs, lambdas: Functions, database_url: str) -> AsyncIterator[Night]:
    """Give it, with poll-payments registered, as fast as it can."""
    async with payments(database_url, PAYMENTS) as world:
        for statement in COUNT_WRITES:
            await world.sql(statement)
        with slack(Reply()) as channel:
            path = WholePath(ecs, lambdas, database_url, channel.url)
            night = Night(path, world, channel, await world.statuses())
            night.register()
            yield night


def exits(tasks: list[dict[str, Any]]) -> list[int | None]:
    """Give the worker's exit code of each task."""
    return [task["containers"][0].get("exitCode") for task in tasks]
