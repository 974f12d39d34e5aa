"""A scope on its way through the environment: it arrives as it was, or does not leave."""

from datetime import date

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from worker.errors import Faults
from worker.scope import Scope, Secret, encode, parse, variables


class Wide(Scope):
    """Fields of every kind that a scope may have."""

    number: int | None = None
    share: float = 0.5
    flag: bool = False
    day: date | None = None
    region: str | None = "eu"
    ids: list[int] = []  # noqa: RUF012 - msgspec makes it afresh
    names: tuple[str, ...] | None = None


WIDE = st.builds(
    Wide,
    number=st.none() | st.integers(),
    share=st.floats(allow_nan=False),
    flag=st.booleans(),
    day=st.none() | st.dates(),
    region=st.none() | st.text(),
    ids=st.lists(st.integers()),
    names=st.none() | st.lists(st.text()).map(tuple),
)


@given(WIDE)
def test_scope_variables_parse_back_to_the_same_scope(scope: Wide) -> None:
    """Whatever the values: the same scope comes out, or the field is named that cannot make the trip."""
    try:
        texts = variables(scope)
    except Faults:
        event("refused")
        return
    assert parse(Wide, {name[4:].lower(): text for name, text in texts.items()}, text=True) == scope


def test_scope_variables_hold_only_what_differs_from_the_defaults() -> None:
    """A default is not said, and null in place of one is."""
    assert variables(Wide()) == {}
    assert variables(Wide(region=None, ids=[1, 2])) == {"JOB_REGION": "", "JOB_IDS": "[1,2]"}


@pytest.mark.parametrize("region", ["", "a\0b"])
def test_scope_variables_refuse_what_no_variable_can_hold(region: str) -> None:
    """An empty text would arrive as null, and no variable has a NUL in it."""
    with pytest.raises(Faults, match="scope region has a value that JOB_REGION cannot hold"):
        variables(Wide(region=region))


def test_scope_encode_knows_the_default_of_a_list() -> None:
    """A list at its default is left out like any other field."""
    assert encode(Wide()) == {}
    assert encode(Wide(ids=[7])) == {"ids": [7]}


def test_scope_parse_words_what_the_model_itself_refuses() -> None:
    """An error of the model's own check is a fault like the others."""

    class Span(Scope):
        first: int = 0
        last: int = 0

        def __post_init__(self) -> None:
            if self.first > self.last:
                raise ValueError(f"First {self.first} comes after last {self.last}")

    with pytest.raises(Faults, match="scope: first 2 comes after last 1"):
        parse(Span, {"first": 2, "last": 1})


def test_scope_that_refuses_itself_does_not_tell_its_secrets() -> None:
    """What a model's own check says is masked."""

    class Guarded(Scope):
        token: Secret

        def __post_init__(self) -> None:
            raise ValueError(f"bad token {self.token}")

    with pytest.raises(Faults) as refused:
        parse(Guarded, {"token": "hunter2topsecret"})
    assert refused.value.faults == ("scope: bad token ***",)
