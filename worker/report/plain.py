"""Turn any value into what JSON can hold, whatever it is and does."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import Any

_DEEPEST = 8
_MOST_VALUES = 500
"""In one line: a structure that holds itself would go on for ever."""


def plain(value: Mapping[str, Any], text: Callable[[str], str]) -> dict[str, Any]:
    """Give the JSON form of a mapping; every text in it, keys too, passes `text`. Never raises."""
    result: dict[str, Any] = _Plain(text)(value, 0)
    return result


def said(value: object) -> str:
    """Give `str(value)`, or its type where even that fails."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - runs a foreign __str__, which may raise anything
        return f"<{type(value).__name__}, which cannot be shown: {type(error).__name__}>"


class _Plain:
    def __init__(self, text: Callable[[str], str]) -> None:
        self._text = text
        self._left = _MOST_VALUES

    def __call__(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return self._number(value)
        if isinstance(value, (bytes, bytearray)):
            return self._text(value.decode("utf-8", "backslashreplace"))
        if isinstance(value, str):
            return self._text(str(value))
        if depth >= _DEEPEST or self._left <= 0:
            return "…"
        return self._container(value, depth + 1)

    def _number(self, value: int | float) -> int | float | str:
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else str(float(value))
        return int(value) if -(2**63) <= value < 2**64 else self._text(f"{value:#x}")

    def _container(self, value: Any, depth: int) -> Any:
        try:
            if isinstance(value, Mapping):
                return self._mapping(value.items(), depth)
            if is_dataclass(value) and not isinstance(value, type):
                return self._mapping(((field.name, getattr(value, field.name)) for field in fields(value)), depth)
            if isinstance(value, (list, tuple, set, frozenset)):
                return [self(item, depth) for item in islice(value, max(0, self._left))]
        except Exception as error:  # noqa: BLE001 - runs foreign iteration, which may raise anything
            return self._text(f"<{type(value).__name__}, which cannot be shown: {type(error).__name__}>")
        return self._text(said(value))

    def _mapping(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        return {self._text(said(name)): self(item, depth) for name, item in islice(items, max(0, self._left))}
