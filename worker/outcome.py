"""What became of one record: a closed set, as data."""

from typing import Any, TypeAlias

from msgspec import Struct


class Done(Struct, frozen=True):
    """The record is finished; `value`, where there is one, is handed to the job's `write`."""

    value: Any = None


class Skipped(Struct, frozen=True):
    """Nothing was to be done, for a reason out of a small set (it becomes a tag and a line of the summary)."""

    reason: str


class Failed(Struct, frozen=True):
    """The record cannot be finished: it becomes a dead letter of this type, with this message."""

    message: str
    type: str = "Failed"


Outcome: TypeAlias = Done | Skipped | Failed

DONE = Done()


def done(value: Any = None) -> Done:
    """Say that the record is finished, with the value that `write` is to record."""
    return DONE if value is None else Done(value)


def skipped(reason: str) -> Skipped:
    """Say that the record needed nothing, and why; keep the reasons few."""
    return Skipped(reason)


def failed(message: str, type: str = "Failed") -> Failed:  # noqa: A002 - the field's word for it
    """Say that the record cannot be finished, without raising."""
    return Failed(message, type)
