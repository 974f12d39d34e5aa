"""AWS by aiobotocore: one client a service, made when first used, every trouble told in the worker's own errors.

Region, credentials and `AWS_ENDPOINT_URL` come from the environment as botocore reads them. There is no retry in here: the engine
retries, so that permits, freshness and budgets hold for each try.
"""

import contextlib
import functools
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from aiohttp import ClientError as BrokenAnswer
from botocore.exceptions import (
    BotoCoreError,
    ChecksumError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as NoConnection,
)
from botocore.parsers import ResponseParserError

from worker.errors import Faults, Permanent, Throttled, Transient, WorkerError
from worker.job import Run

_HARMLESS = (
    "BatchGet",
    "ChangeMessageVisibility",
    "Describe",
    "Get",
    "Head",
    "List",
    "Query",
    "Receive",
    "Scan",
    "TransactGet",
)
"""What the names of operations begin with that change no data: all that a dry run may send."""
_THROTTLES = {
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "TooManyRequestsException",
}
_PASSING = {
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
}
_CUT = (
    BrokenAnswer,
    ChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoConnection,
    OSError,
    ResponseParserError,
    TimeoutError,
)
"""What is raised when no answer comes, or not all of it, or somebody else's."""
_SIGNATURES = {"s3": "s3v4"}
"""Of links, too: what is encrypted with KMS needs it."""
_CONNECTIONS = 64
_CONNECT_S, _READ_S = 5, 30


class Client:
    """One service's client: `await client.call("scan", TableName=…)` gives the answer as botocore does."""

    def __init__(self, run: Run[Any], service: str, *, limit: str | None = None) -> None:
        self._run, self._service, self._limit = run, service, limit
        self._opened = contextlib.AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> "Client":
        try:
            await self._open()
        except CredentialRetrievalError as error:
            raise Transient(f"no AWS credentials yet: {error}") from error
        except (BotoCoreError, ValueError) as error:
            raise Faults([f"no client for {self._service}: {error}"]) from error
        if self._run.dry_run:
            self._client.meta.events.register("before-parameter-build", self._refuse_to_write)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._opened.aclose()
        self._client = None

    @property
    def region(self) -> str:
        """Give the region that it works in."""
        region: str = self._in_use().meta.region_name
        return region

    @property
    def endpoint(self) -> str:
        """Give the address of its service."""
        endpoint: str = self._in_use().meta.endpoint_url
        return endpoint

    async def call(self, operation: str, **arguments: Any) -> Any:
        """Call an operation by its name in Python (`get_item`).

        Raises Throttled where the service asks for less, Transient for what passes, Permanent with AWS's error code for the
        rest, and for what a dry run must not send.
        """
        client = self._in_use()
        if self._limit is not None:
            await self._run.permit(self._limit)
        with translated(f"{self._service} {operation}", self._limit):
            return await getattr(client, operation)(**arguments)

    async def pages(self, operation: str, **arguments: Any) -> AsyncIterator[Any]:
        """Call an operation until it has no further page; for what is short, such as the parts of an upload."""
        client = self._in_use()
        with translated(f"{self._service} {operation}", self._limit):
            async for page in client.get_paginator(operation).paginate(**arguments):
                yield page

    async def _open(self) -> None:
        session = get_session()
        session.register_component("data_loader", _models())
        region = os.environ.get("AWS_REGION") or session.get_config_variable(
            "region"
        )  # botocore itself overlooks AWS_REGION
        faults = [] if region else ["AWS_REGION is not set: say in which region the job works"]
        if await session.get_credentials() is None:
            faults.append(
                "there are no AWS credentials: a task has its task role's; elsewhere set AWS_PROFILE, "
                "or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        if faults:
            raise Faults(faults)
        config = AioConfig(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            max_pool_connections=max(_CONNECTIONS, self._run.limits.concurrency),
            retries={"total_max_attempts": 1},
            signature_version=_SIGNATURES.get(self._service),
            user_agent_extra=f"ecs-batch-worker/{self._run.job}",
        )
        made = session.create_client(self._service, region_name=region, config=config)
        self._client = await self._opened.enter_async_context(made)

    def _in_use(self) -> Any:
        if self._client is None:
            raise RuntimeError("this client is not open: `await run.enter(…)`, or `async with`")
        return self._client

    def _refuse_to_write(self, model: Any, **_: Any) -> None:
        if not model.name.startswith(_HARMLESS):
            raise Permanent(
                f"a dry run sends no {model.name} to {self._service}: return before it if run.dry_run", "dry run"
            )


@functools.cache
def _models() -> Any:
    """Give what has loaded the services' descriptions, which takes longer than all else and never differs."""
    return get_session().get_component("data_loader")


@contextlib.contextmanager
def translated(what: str, limit: str | None = None) -> Iterator[None]:
    """Raise what botocore raises as the worker's own errors."""
    try:
        yield
    except ClientError as error:
        raise refusal(what, error, limit) from error
    except NoCredentialsError:
        raise Permanent(f"{what}: there are no AWS credentials", "no credentials") from None
    except CredentialRetrievalError as error:
        raise Transient(f"{what}: no AWS credentials now: {error}") from error
    except _CUT as error:
        raise Transient(f"{what}: no answer: {str(error) or type(error).__name__}") from error
    except BotoCoreError as error:
        raise Permanent(f"{what}: {error}", type(error).__name__) from error


def refusal(what: str, error: ClientError, limit: str | None = None) -> WorkerError:
    """Judge an error answer: by its codes, then by its status. A throttle may say so in its message alone."""
    said, status = error.response.get("Error", {}), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    codes, message = _codes(error), f"{what}: {said.get('Code')}: {said.get('Message', '')}"
    if status == 429 or codes <= _THROTTLES or "rate exceeded" in message.lower():
        return Throttled(message, limit=limit)
    if status >= 500 or codes <= _THROTTLES | _PASSING:
        return Transient(message)
    return Permanent(message, said.get("Code") or f"HTTP {status}")


def _codes(error: ClientError) -> set[str]:
    """Give the error's code; of a transaction, why its actions were refused: it may pass if all of these may."""
    reasons = {reason.get("Code", "None") for reason in error.response.get("CancellationReasons", ())} - {"None"}
    return reasons or {error.response.get("Error", {}).get("Code", "")}
