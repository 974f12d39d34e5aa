"""What the holder of a token may do: `read`, and `start`, `stop` and `replay` for one job or for all."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from worker.errors import Faults

READ = "read"
ACTIONS = ("start", "stop", "replay")
_RIGHT = re.compile(rf"read|({'|'.join(ACTIONS)}):(\*|[a-z0-9][a-z0-9_-]*)")


@dataclass(frozen=True, slots=True)
class Rights:
    """A set of rights: `read`, `start:poll-payments`, `stop:*`."""

    names: tuple[str, ...]

    def allow(self, action: str, job: str) -> bool:
        """Tell whether the action may be done to this job."""
        return f"{action}:{job}" in self.names or f"{action}:*" in self.names

    def show(self, job: str) -> bool:
        """Tell whether a run of this job may be looked at: by who reads all, and by who may do something to the job."""
        return READ in self.names or any(self.allow(action, job) for action in ACTIONS)

    def __str__(self) -> str:
        return "+".join(self.names)


def rights(names: Iterable[str]) -> Rights:
    """Read rights. Raises Faults naming each that is none."""
    found = tuple(dict.fromkeys(name.strip() for name in names))
    faults = [fault(name) for name in found if not _RIGHT.fullmatch(name)]
    if faults or not found:
        raise Faults(faults or ["a token without a right is good for nothing: --may read, --may start:<job>"])
    return Rights(found)


def fault(name: str) -> str:
    """Say what is wrong with a right."""
    if name in ACTIONS:
        return f"the right {name!r} lacks its job: {name}:<job>, or {name}:* for all"
    return f"no right {name[:60]!r}: there are read, start:<job>, stop:<job> and replay:<job>, with * for all jobs"


def missing(jobs: Sequence[str], given: Rights) -> list[str]:
    """List the jobs that rights name and that are not there."""
    named = (name.partition(":")[2] for name in given.names)
    return [job for job in named if job not in ("", "*", *jobs)]
