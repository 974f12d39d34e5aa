"""What does not fit a scope field is named, with what would fit, in plain words."""

from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from worker.errors import Faults
from worker.scope import Scope, Secret, parse


class Region(Enum):
    """Where."""

    EU = "eu"
    US = "us"


class Every(Scope):
    """Fields of every kind that a scope may have."""

    number: int | None = None
    share: float = 0.5
    flag: bool = False
    day: date | None = None
    at: datetime | None = None
    id: UUID | None = None
    ids: list[int] = []  # noqa: RUF012 - msgspec makes it afresh
    days: tuple[date, ...] | None = None
    region: Region = Region.EU
    mode: Literal["fast", "slow"] = "fast"
    few: Annotated[int, msgspec.Meta(ge=1)] = 1
    two: Annotated[list[int], msgspec.Meta(max_length=2)] = []  # noqa: RUF012
    pins: Annotated[list[int], msgspec.Meta(extra={"secret": True})] = []  # noqa: RUF012
    token: Secret | None = None
    either: int | str = 1


def faults(name: str, value: Any, *, text: bool) -> tuple[str, ...]:
    """Give what is wrong with a field's value."""
    with pytest.raises(Faults) as refused:
        parse(Every, {name: value}, text=text)
    return refused.value.faults


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("number", "x", "'x' is not a whole number"),
        ("number", "1.5", "'1.5' is not a whole number"),
        ("share", "half", "'half' is not a number"),
        ("flag", "maybe", "'maybe' is not true or false"),
        ("day", "22.11.2026", "'22.11.2026' is not a date like 2026-11-22"),
        ("at", "today", "'today' is not a time like 2026-11-22T06:30:00Z"),
        ("id", "1", "'1' is not a UUID"),
        ("ids", "101,abc", "'abc' is not a whole number"),
        ("ids", '[101,"abc"]', "'abc' is not a whole number"),
        ("ids", "[101,", "'[101,' is no JSON list: input data was truncated"),
        ("days", "2026-11-22,soon", "'soon' is not a date like 2026-11-22"),
        ("region", "de", "'de' is not one of eu, us"),
        ("mode", "late", "'late' is not one of fast, slow"),
        ("few", "0", "'0' is not allowed: it must be >= 1"),
        ("two", "1,2,3", "['1', '2', '3'] is not allowed: it must be of length <= 2"),
        ("pins", "12,34x", "the value (not shown) is not a list, each a whole number"),
    ],
)
def test_scope_faults_of_texts(name: str, value: str, said: str) -> None:
    """From flags and variables."""
    assert faults(name, value, text=True) == (f"scope {name}: {said}",)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("number", "42", "'42' is not a whole number"),
        ("flag", 1, "1 is not true or false"),
        ("share", None, "None is not a number"),
        ("ids", [1, None], "None is not a whole number"),
        ("ids", 3, "3 is not a list, each a whole number"),
        ("either", [], "[] is not a whole number or a text"),
        ("token", 12345678, "the value (not shown) is not a text"),
        ("number", ["x" * 1_000], f"{['x' * 1_000]!r:.200} is not a whole number"),
    ],
)
def test_scope_faults_of_json(name: str, value: Any, said: str) -> None:
    """From a POST body."""
    assert faults(name, value, text=False) == (f"scope {name}: {said}",)
