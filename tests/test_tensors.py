"""The one check of an array against its spec."""

from __future__ import annotations

import numpy as np
import pytest

from edge_dx.errors import TensorMismatch
from edge_dx.tensors import TensorSpec, check_feeds

SPEC = TensorSpec("image", "float32", (None, 1, 4, 5))


def test_any_size_fits_where_none_is_stated() -> None:
    for batch in (1, 3):
        assert SPEC.problem(np.zeros((batch, 1, 4, 5), np.float32)) is None


@pytest.mark.parametrize("shape", [(1, 4, 5), (1, 1, 5, 4), (1, 2, 4, 5), (), (1, 1, 4, 5, 1)])
def test_another_shape_is_told_with_both_shapes(shape: tuple[int, ...]) -> None:
    problem = SPEC.problem(np.zeros(shape, np.float32))
    assert problem
    assert str(shape) in problem
    assert "('any', 1, 4, 5)" in problem


@pytest.mark.parametrize("dtype", ["f8", "f2", "u1", "i4", "?", "U1", "O", ">f4"])
def test_another_type_is_told(dtype: str) -> None:
    problem = SPEC.problem(np.zeros((1, 1, 4, 5), dtype))
    assert problem
    assert problem.endswith("the model takes float32")


def test_feeds_are_exactly_the_specs() -> None:
    good = np.zeros((1, 1, 4, 5), np.float32)
    check_feeds((SPEC,), {"image": good})
    for feeds in ({}, {"x": good}, {"image": good, "x": good}):
        with pytest.raises(TensorMismatch, match="the model takes image; given were"):
            check_feeds((SPEC,), feeds)
    with pytest.raises(TensorMismatch, match="image has shape"):
        check_feeds((SPEC,), {"image": good[0]})
