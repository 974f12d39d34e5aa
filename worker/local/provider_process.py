"""Run the provider simulator as a child process, and ask it what it counted."""

import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, Self
from urllib.parse import urlsplit

from worker.errors import Faults
from worker.local.words import last_words

_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """How the simulated provider behaves.

    It answers 429 above `rate` calls a second (0: never), waits `delay` seconds before each answer, fails the share `fail`
    (0 to 1) of the tries, and decides each payment's fate from `seed`.
    """

    rate: int = 100
    delay: float = 0.02
    fail: float = 0.02
    seed: int = 7

    def flags(self) -> list[str]:
        """Give them as the simulator's command line takes them."""
        return [f"--rate={self.rate}", f"--delay={self.delay}", f"--fail={self.fail}", f"--seed={self.seed}"]


class ProviderProcess:
    """A simulator that ends with us: `async with ProviderProcess(ProviderOptions()) as provider: provider.url`."""

    def __init__(self, options: ProviderOptions) -> None:
        self._options = options

    async def __aenter__(self) -> Self:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when left
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker.local.provider", "--port=0", "--until-eof", *self._options.flags()),
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._words,
            start_new_session=True,  # Ctrl-C is for the worker, which needs it to drain
        )
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            with self._words:
                raise Faults([f"the provider simulator did not start (exit code {code}): {last_words(self._words)}"])
        said = json.loads(line)
        self.url, self.api_key = str(said["url"]), str(said["api_key"])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close its stdin, at which it ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _PATIENCE_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._words.close()

    @property
    def environment(self) -> dict[str, str]:
        """Give what points at it. The key goes with the address: a real one has no business at a simulator."""
        return {"STRIPE_API_BASE": self.url, "STRIPE_API_KEY": self.api_key}

    async def where(self) -> str:
        """Say what it is and where."""
        return f"provider simulator at {self.url}"

    async def report(self) -> str:
        """Say in one line what it counted."""
        try:
            return "provider: " + _told(await asyncio.to_thread(self.counts))
        except (OSError, HTTPException) as error:
            return f"provider: gave no counts ({error!r})"

    async def change(self, **behaviour: Any) -> None:
        """Have it behave otherwise from now on: `await provider.change(rate=500)`. Raises Faults where it knows no such thing."""
        said = await asyncio.to_thread(self._ask, "PUT", json.dumps(behaviour))
        if "error" in said:
            raise Faults([f"the provider simulator refuses {behaviour}: {said['error']}"])

    def counts(self) -> dict[str, Any]:
        """Ask it what it has counted so far."""
        return self._ask("GET")

    def _ask(self, method: str, body: str | None = None) -> dict[str, Any]:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=_PATIENCE_S)
        try:
            connection.request(method, "/_simulator", body)
            said: dict[str, Any] = json.load(connection.getresponse())
            return said
        finally:
            connection.close()


def _told(counts: dict[str, Any]) -> str:
    limit = f"limit {counts['rate']:,}" if counts["rate"] else "no limit"
    return (
        f"{counts['requests']:,} requests, at most {counts['most_in_a_second']:,} in any second ({limit}), "
        f"{counts['refused']:,} refused, {counts['violations']:,} violations"
    )
