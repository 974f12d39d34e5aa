"""The HTTP client that jobs are given: one try a call, and every trouble told in the worker's own errors.

There is no retry in here: the engine retries, so that permits, freshness and budgets hold for each try.
"""

import asyncio
from collections.abc import Container, Coroutine, Mapping
from datetime import timedelta
from typing import Any, TypeAlias, TypedDict, Unpack
from urllib.parse import quote, urlsplit

import msgspec
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError
from pyreqwest.request import RequestBuilder
from pyreqwest.types import FormParams, QueryParams

from worker.clients.hosts import Hosts
from worker.clients.public import host_in, must_be_public
from worker.clients.refusals import refusal
from worker.clients.response import Response, host_of
from worker.errors import Faults, Permanent, Transient
from worker.job import Run
from worker.limits import Limits

ANY_STATUS = range(100, 600)
"""`accept` for a caller that judges every status itself."""

_CONNECT_S = 10
_IDLE_S = 30
"""Connections idle for longer are given up: sooner than most servers close them, so that few calls meet a closing one."""

_LARGEST = 16 * 1024 * 1024
_HARMLESS = ("GET", "HEAD")


Answer: TypeAlias = Coroutine[Any, Any, Response]
"""What is to be awaited. Methods that only pass a call on give it as it is: a coroutine within another, for each level, took a
twelfth of the time of poll-payments (with the shortest way through `segment`)."""


class Options(TypedDict, total=False):
    """What a request may carry; `accept` names statuses beside 2xx that are answers and no errors: `accept={404}`."""

    params: QueryParams
    headers: Mapping[str, str]
    json: Any
    data: FormParams | bytes
    accept: Container[int]


class Http:
    """Talk to one HTTP API: `self.http = await run.enter(Http(run, base_url="https://api.example.com", headers={…}))`.

    Paths begin with a slash and are added to `base_url`; URLs that begin with it are taken as they are, and without one all are. Values from records go into paths
    through `segment`. `limit` names a rate limit of the job whose permit is taken right before each send; None where the
    job's main rate, taken by the engine, is meant for this API. `largest` bounds an answer, in bytes. Redirects are not
    followed: they could carry the headers elsewhere. Idle connections are kept, as many as were in use.

    For URLs that come from records: `per_host=Limits(concurrency=4, rate=Rate(10))` bounds the calls to each host; a record
    whose host is busy, or asked for a pause by 429, waits outside its slot, and 429 counts as a try of it. `public_only`
    refuses what is not https, or not on the internet.

    `timeout_s` bounds a call, and so does the job's `record_timeout`: a cancelled call returns at once, but pyreqwest 0.15 lets
    the request itself go on until its head has come or its own time is over (its task is detached, not aborted).
    """

    def __init__(
        self,
        run: Run[Any],
        *,
        base_url: str = "",
        headers: Mapping[str, str] | None = None,
        limit: str | None = None,
        timeout_s: float = 15.0,
        largest: int = _LARGEST,
        per_host: Limits | None = None,
        public_only: bool = False,
    ) -> None:
        if base_url and not _is_web(base_url):
            raise Faults(["the base URL of an API has the form https://host (the value is not shown)"])
        self._run = run
        self._base = base_url.rstrip("/")
        self._under_base = f"{self._base}/"
        self._headers = dict(headers or {})
        self._limit = limit
        self._timeout = timedelta(seconds=min(timeout_s, run.limits.record_timeout))
        self._largest = largest
        self._hosts = Hosts(per_host) if per_host else None
        self._public_only = public_only
        self._client: Client | None = None
        self._send = run.traced(self._sent)

    async def __aenter__(self) -> "Http":
        builder = ClientBuilder().follow_redirects(False).timeout(self._timeout)
        builder = builder.connect_timeout(timedelta(seconds=_CONNECT_S)).pool_idle_timeout(timedelta(seconds=_IDLE_S))
        builder = builder.user_agent(f"ecs-batch-worker/{self._run.job}")
        try:
            self._client = builder.default_headers(self._headers).build()
        except ValueError:  # its text has the header's value
            names = ", ".join(self._headers)
            fault = f"one of the headers {names} has a character that no header may have, perhaps a line end"
            raise Faults([fault]) from None
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None

    def get(self, path: str, **options: Unpack[Options]) -> Answer:
        """Get what is there; see `request`."""
        return self._begin("GET", path, options)

    def post(self, path: str, **options: Unpack[Options]) -> Answer:
        """Post `json` or `data`; see `request`."""
        return self._begin("POST", path, options)

    def put(self, path: str, **options: Unpack[Options]) -> Answer:
        """Put `json` or `data`; see `request`."""
        return self._begin("PUT", path, options)

    def patch(self, path: str, **options: Unpack[Options]) -> Answer:
        """Patch with `json` or `data`; see `request`."""
        return self._begin("PATCH", path, options)

    def delete(self, path: str, **options: Unpack[Options]) -> Answer:
        """Delete what is there; see `request`."""
        return self._begin("DELETE", path, options)

    def request(self, method: str, path: str, **options: Unpack[Options]) -> Answer:
        """Send one request, once it is awaited, and give its answer, if its status is 2xx or accepted.

        Raises Transient for a connection that fails or takes too long and for 5xx, 408 and 425, Throttled for 429 and for
        503 with `Retry-After`, Permanent for the rest, and for what a dry run must not send.
        """
        return self._begin(method, path, options)

    def _begin(self, method: str, path: str, options: Options) -> Answer:
        if self._hosts is None:
            return self._ask(method, path, options)
        return self._ask_in_turn(self._hosts, method, path, options)

    async def _ask_in_turn(self, hosts: Hosts, method: str, path: str, options: Options) -> Response:
        async with hosts.turn(host_in(self._checked(method, path))):
            return await self._ask(method, path, options)

    async def _ask(self, method: str, path: str, options: Options) -> Response:
        if self._client is None:
            raise RuntimeError("this client is not open: `await run.enter(Http(run, …))`, or `async with`")
        url = self._checked(method, path)
        if self._public_only:
            await must_be_public(url)
        building = self._client.request(method, url)
        if options:
            building = _with(building, options)
        if self._limit is not None:
            await self._run.permit(self._limit)
        response: Response = await self._send(building, method, url)
        if 200 <= response.status < 300 or response.status in options.get("accept", ()):
            return response
        message = f"{response}: {response.preview}"
        raise refusal(response.status, message, response.headers.get("retry-after"), self._limit)

    def _checked(self, method: str, path: str) -> str:
        """Give the URL, if it may be asked."""
        url = self._url(path)
        if self._run.dry_run and method not in _HARMLESS:
            raise Permanent(
                f"a dry run sends no {method} to {host_of(url)}: return before it if run.dry_run", "dry run"
            )
        return url

    def _url(self, path: str) -> str:
        """Add a path to the base URL; a URL that begins with it, as an API's own links do, is taken as it is."""
        if path.startswith("/") and self._base:
            return self._base + path
        if not self._base or path.startswith(self._under_base):
            return path
        raise ValueError(f"a path begins with a slash, not as {path!r}: it is added to the base URL")

    async def _sent(self, building: RequestBuilder, method: str, url: str) -> Response:
        task = asyncio.current_task()
        assert task is not None, "coroutines run in tasks"
        cancelled = task.cancelling()
        try:
            async with building.build_streamed() as answer:
                body = await answer.body_reader.read(self._largest + 1)
        except RequestError as error:
            raise Transient(
                f"{host_of(url)} gave no answer to {method}: {_cause(error)}"
            ) from None  # it has the whole URL
        finally:
            if task.cancelling() > cancelled:  # pyreqwest loses it where the answer comes together with it
                raise asyncio.CancelledError
        response = Response(answer.status, answer.headers, b"" if body is None else body.to_bytes(), (method, url))
        if len(response.body) > self._largest:
            raise Permanent(f"{response} with more than {self._largest:,} bytes", "answer too large")
        return response


def segment(value: object) -> str:
    """Encode a value for one segment of a path, whatever it contains; Permanent for what no segment can hold.

    `.` and `..` are among that: parsers of URLs resolve them even when they are percent-encoded (WHATWG URL, 4.4).
    """
    if type(value) is str and value.isascii() and value.isidentifier():
        return value  # as most ids are: letters, digits and _ stay as they are
    text = "" if value is None else str(value)
    if text in ("", ".", ".."):
        raise Permanent(f"{value!r} cannot be part of a URL", "unusable in a URL")
    return quote(text, safe="", errors="replace")


def _with(building: RequestBuilder, options: Options) -> RequestBuilder:
    if "params" in options:
        building = building.query(options["params"])
    if "headers" in options:
        building = building.headers(options["headers"])
    if "json" in options:
        return building.header("content-type", "application/json").body_bytes(msgspec.json.encode(options["json"]))
    if "data" in options:
        data = options["data"]
        return building.body_bytes(data) if isinstance(data, bytes) else building.form(data)
    return building


def _cause(error: RequestError) -> str:
    """Give the innermost cause: the outer ones have the whole URL."""
    causes = error.details.get("causes") or []
    return causes[-1]["message"] if len(causes) > 1 else type(error).__name__


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
