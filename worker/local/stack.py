"""Start the servers that a job needs and the environment does not name, all at once."""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from typing import Self

from worker.errors import Faults
from worker.local.postgres import Postgres
from worker.local.provider_process import ProviderOptions, ProviderProcess

PROVIDED = ("DATABASE_URL", "STRIPE_API_BASE")
"""What can be started, each named by the environment variable that points at it."""


def missing(needs: Collection[str], environ: Mapping[str, str]) -> list[str]:
    """Choose what to start: what is needed and can be started, where the environment names none; empty counts as none."""
    return [name for name in PROVIDED if name in needs and not environ.get(name)]


class Stack:
    """The servers behind `names` (of PROVIDED): `environment` points at them, `started` says in words where they are."""

    def __init__(self, names: Collection[str], provider: ProviderOptions) -> None:
        if unknown := sorted(set(names) - set(PROVIDED)):
            known = ", ".join(PROVIDED)
            raise Faults([f"no local server stands in for {name!r}; there is one for {known}" for name in unknown])
        self._postgres = Postgres() if "DATABASE_URL" in names else None
        self._provider = ProviderProcess(provider) if "STRIPE_API_BASE" in names else None
        self.environment: dict[str, str] = {}
        self.started: list[str] = []

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            servers = [server for server in (self._postgres, self._provider) if server is not None]
            starts = [opened.enter_async_context(server) for server in servers]
            ends = await asyncio.gather(*starts, return_exceptions=True)
            for error in ends:
                if isinstance(error, BaseException):
                    raise error
            await self._introduce()
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def report(self) -> str | None:
        """Say in one line what the provider counted; None where none was started."""
        return await self._provider.report() if self._provider else None

    async def _introduce(self) -> None:
        if self._postgres:
            self.environment["DATABASE_URL"] = self._postgres.url
            self.started.append(f"PostgreSQL {await self._postgres.version()} at {self._postgres.address}")
        if self._provider:
            # The key goes with the address: a real one in the environment has no business at a simulator.
            self.environment |= {"STRIPE_API_BASE": self._provider.url, "STRIPE_API_KEY": self._provider.api_key}
            self.started.append(f"provider simulator at {self._provider.url}")
