"""Facts become numbers as the manifest says, and nothing is ever imputed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx import vector
from edge_dx.errors import TensorMismatch, UnsupportedInput
from edge_dx.manifest import VectorField, VectorInput

AGE = VectorField(name="age", unit="years", low=18, high=90, mean=50, std=16)
SEX = VectorField(name="sex", low=0, high=1, choices={"F": 0, "M": 1})
SMOKER = VectorField(name="packs", unit="packs/day", low=0, high=5, choices={"never": 0})
FACTS = VectorInput(name="facts", fields=(AGE, SEX, SMOKER))


def test_values_are_scaled_in_the_order_of_the_fields() -> None:
    for sex in ("M", 1, 1.0, np.float32(1)):
        tensor = vector.to_tensor(FACTS, {"packs": 2.5, "sex": sex, "age": 66})
        assert tensor.dtype == np.float32
        assert tensor.tolist() == [[1.0, 1.0, 2.5]]


def test_the_ends_of_the_range_belong_to_it() -> None:
    for age in (18, 90):
        tensor = vector.to_tensor(FACTS, {"age": age, "sex": "F", "packs": "never"})
        assert tensor[0, 0] == np.float32((age - 50) / 16)


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"age": 17.999}, "out_of_range", r"facts: age is 17\.999 years; .* age \(18 to 90 years"),
        ({"age": 91}, "out_of_range", "age is 91 years"),
        ({"age": float("nan")}, "out_of_range", "age is nan years"),
        ({"age": float("inf")}, "out_of_range", "age is inf years"),
        ({"age": "63"}, "out_of_range", "age is '63'; it takes age"),
        ({"age": 10**400}, "out_of_range", "age is no number"),
        ({"age": [63]}, "out_of_range", "age is no number"),
        ({"age": {}}, "out_of_range", "age is no number"),
        ({"age": True}, "out_of_range", "age is nan"),
        ({"sex": False}, "out_of_range", r"sex is nan; .*sex \(F or M\)"),
        ({"sex": "f"}, "out_of_range", r"sex is 'f'; it takes sex \(F or M\)"),
        ({"packs": 6}, "out_of_range", r"packs \(never or 0 to 5 packs/day\)"),
        ({"age": None}, "missing_input", r"age is missing; the model needs age \(18 to 90 years\)"),
        ({"weight": 70}, "unknown_input", "weight is no field of it; it takes age"),
        ({7: 70}, "unknown_input", "7 is no field"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(
    change: dict[Any, Any], reason: str, told: str
) -> None:
    with pytest.raises(UnsupportedInput, match=told) as caught:
        vector.to_tensor(FACTS, {"age": 50, "sex": "F", "packs": 0, **change})
    assert caught.value.reason == reason


def test_numbers_come_back_as_they_were_kept() -> None:
    facts = vector.from_numbers(FACTS, np.array([66.0, 1.0, 0.0]))
    assert facts == {"age": 66.0, "sex": 1.0, "packs": 0.0}
    words = vector.to_tensor(FACTS, {"age": 66, "sex": "M", "packs": "never"})
    assert np.array_equal(vector.to_tensor(FACTS, facts), words)
    with pytest.raises(TensorMismatch, match="has 3 fields"):
        vector.from_numbers(FACTS, np.zeros((1, 3)))


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=3,
)


@settings(max_examples=200, deadline=None, database=None)
@given(
    facts=st.dictionaries(
        st.sampled_from(["age", "sex", "packs", "other"]) | st.text() | st.integers(),
        _ANYTHING | st.sampled_from(["F", "M", "never"]) | st.floats(-10, 100),
        max_size=4,
    )
)
def test_whatever_is_given_becomes_a_finite_tensor_or_a_typed_error(
    facts: dict[Any, Any],
) -> None:
    try:
        tensor = vector.to_tensor(FACTS, facts)
    except UnsupportedInput as error:
        assert error.reason in ("missing_input", "unknown_input", "out_of_range")  # noqa: PT017 (no error is right too)
        return
    assert set(facts) == {"age", "sex", "packs"}
    assert tensor.shape == (1, 3)
    assert np.isfinite(tensor).all()
    assert abs(tensor[0, 0]) <= 2.5
