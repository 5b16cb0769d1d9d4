from __future__ import annotations

from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from labelwise.base import Card, Count, Fields, Fraction, InputError, Positive, Range


class Toy(Fields):
    share: Annotated[float, Fraction] = 0.5
    rate: Annotated[float, Positive] | None = None
    steps: Annotated[int, Count] = 3
    mode: Literal["a", "b"] = "a"
    flag: bool = False
    part: Fields | None = None


def test_constructor_parameters_clone_and_repr() -> None:
    toy = Toy(share=0.2, part=Toy(steps=7))
    assert toy.get_params()["part__steps"] == 7
    copy = clone(toy).set_params(part__steps=9)
    assert (copy.part.steps, toy.part.steps) == (9, 7)
    assert repr(Toy(share=0.2)) == "Toy(share=0.2)"
    with pytest.raises(TypeError):
        Toy(unknown=1)


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("share", 1.2, "a number in [0, 1]"),
        ("share", "x", "a number in [0, 1]"),
        ("share", True, "a number in [0, 1]"),
        ("share", float("nan"), "a number in [0, 1]"),
        ("rate", 0.0, "a number in (0, inf) or None"),
        ("steps", 0, "a whole number in [1, inf)"),
        ("steps", 1.5, "a whole number in [1, inf)"),
        ("mode", "c", "one of 'a', 'b'"),
        ("flag", 1, "True or False"),
        ("part", 3, "an instance of Fields or None"),
    ],
)
def test_errors_name_owner_field_rule_and_value(field: str, value: object, rule: str) -> None:
    with pytest.raises(InputError) as error:
        Toy(**{field: value}).check_fields()
    assert str(error.value) == f"Toy.{field} must be {rule}. Got {value!r}."


def test_good_values_pass_and_nothing_is_checked_in_the_constructor() -> None:
    assert Toy(share=1, rate=3, steps=2, mode="b", flag=True, part=Toy()).check_fields().share == 1
    Toy(share=7)


def test_inherited_fields_keep_their_order_and_defaults() -> None:
    class Child(Toy):
        share: Annotated[float, Fraction] = 0.9
        more: int = 1

    assert Child().get_params(deep=False) == {
        "share": 0.9, "rate": None, "steps": 3, "mode": "a", "flag": False, "part": None, "more": 1,
    }  # fmt: skip


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False),
    st.booleans(),
    st.booleans(),
)
def test_range_membership_is_the_interval(a: float, b: float, value: float, low_open: bool, high_open: bool) -> None:
    low, high = sorted((a, b))
    expected = (low < value if low_open else low <= value) and (value < high if high_open else value <= high)
    assert (value in Range(low, high, low_open, high_open)) is expected


def test_card_refuses_an_unknown_problem() -> None:
    with pytest.raises(ValueError, match="not in the vocabulary"):
        Card(handles=frozenset({"bad hair"}))  # type: ignore[arg-type]
