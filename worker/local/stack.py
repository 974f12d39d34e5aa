"""Start the servers that a job needs and the environment does not name, all at once."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self

from worker.errors import Faults
from worker.local.aws import Moto
from worker.local.postgres import Postgres
from worker.local.provider_process import ProviderOptions, ProviderProcess

PROVIDED = {
    "postgres": "DATABASE_URL",
    "aws": "AWS_ENDPOINT_URL",
    "provider": "STRIPE_API_BASE",
    "webhooks": "WEBHOOKS_URL",
}
"""What can be started, each with the environment variable that points at it."""


def missing(needs: Collection[str], environ: Mapping[str, str]) -> list[str]:
    """Choose what to start: what is needed and can be started, where the environment names none; empty counts as none."""
    return [name for name, variable in PROVIDED.items() if name in needs and not environ.get(variable)]


class Stack:
    """The servers called `names` (of PROVIDED): `environment` points at them, `started` says in words where they are."""

    def __init__(self, names: Collection[str], provider: ProviderOptions) -> None:
        if unknown := sorted(set(names) - set(PROVIDED)):
            known = ", ".join(PROVIDED)
            raise Faults([f"there is no local server {name!r}; there are {known}" for name in unknown])
        self.servers = {name: _server(name, provider) for name in PROVIDED if name in names}
        self.environment: dict[str, str] = {}
        self.started: list[str] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            starts = [opened.enter_async_context(server) for server in self.servers.values()]
            ends = await asyncio.gather(*starts, return_exceptions=True)
            for error in ends:
                if isinstance(error, BaseException):
                    raise error
            for server in self.servers.values():
                self.environment |= server.environment
                self.started.append(await server.where())
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def report(self) -> str | None:
        """Say what those that count have counted, a line each; None where there are none."""
        counting = [server for server in self.servers.values() if hasattr(server, "report")]
        return "\n".join([await server.report() for server in counting]) or None


def _server(name: str, provider: ProviderOptions) -> Any:
    match name:
        case "postgres":
            return Postgres()
        case "aws":
            return Moto()
        case "provider":
            return ProviderProcess(provider)
    from worker.local.webhooks import Webhooks  # its HTTP server takes a moment to import

    return Webhooks(seed=provider.seed)
