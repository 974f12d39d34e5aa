"""DynamoDB's typed attribute values as Python values, and back.

A number is an int where it is whole, else a Decimal: both compare with each other and with what was stored, exactly. A float would
not, so it is refused.
"""

from collections.abc import Callable, Mapping, Set
from decimal import Decimal
from typing import Any, TypeAlias

Item: TypeAlias = dict[str, Any]
"""Names to Python values: a record, a key, the values of an expression."""

_NO_FLOAT = "DynamoDB keeps numbers exactly, a float ({!r}) is not exact: give it as Decimal('…') or int"


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn names and Python values into DynamoDB's form. Raises TypeError or ValueError for what it cannot hold."""
    return {name: to_attribute(value) for name, value in values.items()}


def from_item(attributes: Mapping[str, Any]) -> Item:
    """Turn an item of DynamoDB's form into names and Python values."""
    read, item = _READ, {}
    for name, attribute in attributes.items():
        ((kind, value),) = attribute.items()
        item[name] = read[kind](value)
    return item


def to_attribute(value: Any) -> dict[str, Any]:
    """Turn a Python value into a typed one. Raises TypeError or ValueError for what DynamoDB cannot hold."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": _number(value)}
        case bytes() | bytearray():
            return {"B": bytes(value)}
        case Mapping():
            return {"M": to_item(value)}
        case list() | tuple():
            return {"L": [to_attribute(each) for each in value]}
        case Set():
            return _to_set(value)
        case float():
            raise TypeError(_NO_FLOAT.format(value))
    raise TypeError(f"DynamoDB has no type for {value!r:.80} ({type(value).__name__})")


def from_attribute(attribute: Mapping[str, Any]) -> Any:
    """Turn a typed value into a Python value."""
    ((kind, value),) = attribute.items()
    return _READ[kind](value)


def _number(value: int | Decimal) -> str:
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"DynamoDB has no number {value}")
    return str(value)


def _to_set(values: Set[Any]) -> dict[str, Any]:
    kinds = {kind for value in values for kind in to_attribute(value)}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise TypeError(f"a set of DynamoDB has values, all strings, all numbers or all bytes, not {values!r:.80}")
    (kind,) = kinds
    return {f"{kind}S": [to_attribute(value)[kind] for value in values]}


def _read_number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        number = Decimal(text)
        return int(number) if number == number.to_integral_value() else number


_READ: dict[str, Callable[[Any], Any]] = {
    "S": str,
    "N": _read_number,
    "B": bytes,
    "BOOL": bool,
    "NULL": lambda _: None,
    "L": lambda values: [from_attribute(value) for value in values],
    "M": from_item,
    "SS": set,
    "NS": lambda values: set(map(_read_number, values)),
    "BS": set,
}
