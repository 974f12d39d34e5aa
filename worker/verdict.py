"""How an attempt can end, and the one place that maps each end to an exit code."""

from enum import Enum


class Verdict(Enum):
    """An end: the word that logs, metrics, summary and run store use for it, and its exit code."""

    SUCCEEDED = ("succeeded", 0, "all records were worked on")
    ALREADY_DONE = ("already done", 0, "this run had succeeded before; nothing was done again")
    ALREADY_RUNNING = ("already running", 0, "another attempt is working on this run")
    OVERLAPPED = ("overlapped", 0, "another run of this job is still going on; this one did nothing")
    ABORTED = ("aborted", 1, "the error budget or max_affected was spent")
    CRASHED = ("crashed", 1, "an error in the job or in the worker ended it")
    COMPLETED_WITH_FAILURES = ("completed with failures", 1, "all records were worked on, too many failed")
    NOT_STARTED = ("could not start", 2, "usage, configuration or scope is wrong; no record was touched")
    LEASE_LOST = ("lost its lease", 3, "a newer attempt took over; this one wrote nothing more")
    INTERRUPTED = ("interrupted", 75, "stopped before the end; start the same run again and it goes on")

    def __new__(cls, word: str, exit_code: int, meaning: str) -> "Verdict":
        """Take the word for its value, which is what JSON gets."""
        member = object.__new__(cls)
        member._value_ = word
        return member

    def __init__(self, word: str, exit_code: int, meaning: str) -> None:
        self.word = word
        self.exit_code = exit_code
        self.meaning = meaning

    @property
    def worked(self) -> bool:
        """Tell whether an attempt with this end worked on records (and so owes a summary)."""
        return self not in (Verdict.ALREADY_DONE, Verdict.ALREADY_RUNNING, Verdict.OVERLAPPED, Verdict.NOT_STARTED)

    @property
    def finished(self) -> bool:
        """Tell whether the run is over for good: the same run key starts nothing more."""
        return self is Verdict.SUCCEEDED

    @property
    def complete(self) -> bool:
        """Tell whether every record has its outcome."""
        return self in (Verdict.SUCCEEDED, Verdict.COMPLETED_WITH_FAILURES)

    @classmethod
    def of(cls, word: str) -> "Verdict":
        """Find the verdict with this word."""
        return next(verdict for verdict in cls if verdict.word == word)
