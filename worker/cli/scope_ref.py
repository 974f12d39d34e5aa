"""What SCOPE_REF holds, read before anything else: a worker's scope where its task's overrides had no room for it."""

import asyncio
import time

from worker.aws import scope_ref
from worker.aws.calls import Calls
from worker.errors import Faults, Transient
from worker.retry import Retry
from worker.scope import as_text

_RETRY = Retry(first=0.2, longest=5.0)


def referred(ref: str, patience_s: float) -> dict[str, str]:
    """Give the scope's fields as flags say them. Raises Faults that name the reference where S3 gives nothing for that long."""
    return asyncio.run(_referred(ref, time.monotonic() + patience_s))


async def _referred(ref: str, until: float) -> dict[str, str]:
    tries = 0
    async with Calls("scope") as calls:
        while True:
            tries += 1
            try:
                return {name: as_text(value) for name, value in (await scope_ref.fetch(calls, ref)).items()}
            except Transient as error:
                if time.monotonic() >= until:
                    raise Faults([f"SCOPE_REF {ref!r} cannot be read: {error}"]) from error
            await asyncio.sleep(_RETRY.delay(tries))
