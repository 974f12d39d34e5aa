"""Calls of AWS services, each by a client of its own that is opened when it is first needed."""

import asyncio
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from worker.boto import Client
from worker.job import Run
from worker.scope import Scope


class Calls:
    """`await calls("ecs", "run_task", cluster=…)` gives the answer as botocore does; errors are the worker's own."""

    def __init__(self, purpose: str) -> None:
        self._run: Run[Scope] = Run(purpose, purpose, Scope())
        self._clients: dict[str, Client] = {}
        self._opened, self._opening = AsyncExitStack(), asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def __call__(self, service: str, operation: str, **arguments: Any) -> Any:
        """Call an operation. Raises Throttled, Transient or Permanent."""
        async with self._opening:
            if service not in self._clients:
                self._clients[service] = await self._opened.enter_async_context(Client(self._run, service))
        return await self._clients[service].call(operation, **arguments)
