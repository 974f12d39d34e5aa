"""What can go wrong, as one small tree.

::

    WorkerError
    ├── Faults               the attempt cannot start: every fault of it at once; exit 2
    ├── Transient            worth another try, after a pause
    │   ├── Throttled        the other side asked for a pause: everybody waits
    │   └── Postponed        it is not this record's turn: it alone waits
    ├── Permanent            another try would end the same
    ├── LeaseLost            a newer attempt owns the run; exit 3
    └── DatabaseAway         unreachable for longer than its budget; exit 75
"""

from collections.abc import Iterable


class WorkerError(Exception):
    """Root of all errors that this package raises on purpose."""


class Faults(WorkerError):
    """Say everything that keeps an attempt from starting, at once."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class Transient(WorkerError):
    """Worth another try: a cut connection, a time-out, a 5xx answer."""


class Throttled(Transient):
    """The other side asked for a pause; the try does not count against the record.

    `retry_after_s` is what it asked for in seconds, None where it did not say; `limit` names the rate limit that pauses.
    """

    def __init__(self, message: str, retry_after_s: float | None = None, limit: str | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.limit = limit


class Postponed(Transient):
    """Nothing was tried, for it is not this record's turn: it waits for `for_s` seconds, in no slot, and it is no try of it."""

    def __init__(self, message: str, for_s: float) -> None:
        super().__init__(message)
        self.for_s = for_s


class Permanent(WorkerError):
    """Another try would end the same: the record is failed. `type` groups it in the reports."""

    def __init__(self, message: str, type: str | None = None) -> None:  # noqa: A002 - the field's word for it
        super().__init__(message)
        self.type = type or self.__class__.__name__


class LeaseLost(WorkerError):
    """A newer attempt owns the run: this one may write nothing more."""


class DatabaseAway(WorkerError):
    """The database stayed unreachable for longer than the run may wait for it."""


def told(error: BaseException) -> str:
    """Give an error's type and words."""
    return f"{type(error).__name__}: {words(error)}"


def words(error: BaseException) -> str:
    """Give an error's words, whatever becomes of asking for them: one that cannot be shown fails its record, not the run."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - see above
        return f"its message cannot be shown: {type(broken).__name__}"
