"""The launcher as all doors open it: over the run store that the environment names, in the cluster that it names."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from worker.aws.calls import Calls
from worker.aws.cluster import Cluster
from worker.aws.launcher import Launcher
from worker.cli.store import room
from worker.environment import Settings, settings
from worker.errors import Faults
from worker.launches import Answer


@asynccontextmanager
async def launcher(found: Settings) -> AsyncIterator[Launcher]:
    """Lend the launcher. Raises Faults naming all that the environment lacks."""
    faults: list[str] = []
    for part in (room, Cluster.of):
        try:
            part(found)
        except Faults as lacking:
            faults += lacking.faults
    if faults:
        raise Faults(faults)
    async with room(found).launching(found) as launches, Calls("launcher") as calls:
        yield Launcher(launches, calls, Cluster.of(found))


async def launch(values: Mapping[str, Any]) -> Answer:
    """Start one run: what the admin API calls with a request, and whoever needs no launcher for long."""
    async with launcher(settings()) as opened:
        return await opened.launch(values)
