"""worker/attributes.py: Python values to DynamoDB's typed ones, and back."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.attributes import from_attribute, from_item, to_attribute, to_item

NUMBERS = st.one_of(
    st.integers(-(10**37), 10**37), st.decimals(-(10**30), 10**30, places=6, allow_nan=False, allow_infinity=False)
)
SCALARS = st.one_of(st.none(), st.booleans(), st.text(), st.binary(), NUMBERS)
SETS = st.one_of(st.sets(st.text(), min_size=1), st.sets(NUMBERS, min_size=1), st.sets(st.binary(), min_size=1))
VALUES = st.recursive(
    SCALARS | SETS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(VALUES)
def test_attribute_comes_back_as_it_went(value: Any) -> None:
    """What DynamoDB can hold is the same afterwards; a number is an int where it is whole."""
    assert from_attribute(to_attribute(value)) == value


@given(st.dictionaries(st.text(), VALUES))
def test_item_comes_back_as_it_went(item: dict[str, Any]) -> None:
    """An item is its attributes, by their names."""
    assert from_item(to_item(item)) == item


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (True, {"BOOL": True}),
        (1, {"N": "1"}),
        (Decimal("0.10"), {"N": "0.10"}),
        ((1, "a"), {"L": [{"N": "1"}, {"S": "a"}]}),
        (bytearray(b"a"), {"B": b"a"}),
        (frozenset({"a"}), {"SS": ["a"]}),
        ({Decimal("1.5")}, {"NS": ["1.5"]}),
        ({"a": {}}, {"M": {"a": {"M": {}}}}),
    ],
)
def test_attribute_has_the_type_of_its_value(value: Any, attribute: dict[str, Any]) -> None:
    """Each Python type has its type in DynamoDB; a bool is no number."""
    assert to_attribute(value) == attribute


@pytest.mark.parametrize(("text", "number"), [("1E+3", 1000), ("-0", 0), ("12.50", Decimal("12.5")), ("5.0", 5)])
def test_attribute_number_is_an_int_where_it_is_whole(text: str, number: int | Decimal) -> None:
    """However DynamoDB writes a number, it reads as the number it is."""
    read = from_attribute({"N": text})
    assert (read, type(read)) == (number, type(number))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "a float"),
        ({"a": [0.1]}, "a float"),
        (Decimal("NaN"), "no number NaN"),
        (Decimal("-Infinity"), "no number -Infinity"),
        (set(), "all strings"),
        ({1, "a"}, "all strings"),
        ({True}, "all strings"),
        (object(), "no type for"),
    ],
)
def test_attribute_that_dynamodb_cannot_hold_is_refused(value: Any, said: str) -> None:
    """A value that would be refused, or changed on its way, is refused before it is sent."""
    with pytest.raises((TypeError, ValueError), match=said):
        to_attribute(value)
