"""AWS on this machine: moto, which speaks its API on 127.0.0.1 and forgets everything at the end."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any, Self

from worker.errors import Faults

REGION = "us-east-1"
_NOBODY = "local"


class Moto:
    """A server in a thread of this process: `async with Moto() as server: server.url`."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.to_thread(_started)
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._server.stop)

    @property
    def environment(self) -> dict[str, str]:
        """Give what points at it. Region and credentials go with the address: real ones have no business at a simulator."""
        region = {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        credentials = {"AWS_ACCESS_KEY_ID": _NOBODY, "AWS_SECRET_ACCESS_KEY": _NOBODY, "AWS_SESSION_TOKEN": ""}
        return {"AWS_ENDPOINT_URL": self.url, **region, **credentials}

    async def where(self) -> str:
        """Say what it is and where."""
        return f"AWS (moto) at {self.url}"


class Aws:
    """What calls a local AWS, for seeds and tests: `async with Aws(url) as aws: await aws.call("s3", "put_object", …)`."""

    def __init__(self, url: str, region: str = REGION) -> None:
        self.url, self.region = url, region

    async def __aenter__(self) -> Self:
        self._opened = AsyncExitStack()
        self._clients: dict[str, Any] = {}
        self._one_at_a_time = asyncio.Lock()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Call an operation by its name in Python (`put_item`). Raises Faults, in AWS's words, where it is refused."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return await getattr(await self._client(service), operation)(**arguments)
        except (BotoCoreError, ClientError) as error:
            raise Faults([f"{service} {operation}: {error}"]) from error

    async def _client(self, service: str) -> Any:
        async with self._one_at_a_time:
            if service not in self._clients:
                self._clients[service] = await self._opened.enter_async_context(self._made(service))
            return self._clients[service]

    def _made(self, service: str) -> Any:
        from aiobotocore.config import AioConfig
        from aiobotocore.session import get_session

        return get_session().create_client(
            service,
            endpoint_url=self.url,
            region_name=self.region,
            aws_access_key_id=_NOBODY,
            aws_secret_access_key=_NOBODY,
            config=AioConfig(retries={"total_max_attempts": 1}),
        )


def _started() -> Any:
    """Import it, which takes longer than to start it, in a thread: other servers start meanwhile."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would tell each request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    return server
