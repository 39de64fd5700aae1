"""The answer as a value and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.result import MaskImage, Reason, Status


@settings(max_examples=200, deadline=None, database=None)
@given(
    rows=st.integers(1, 6).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=6)
    )
)
def test_run_lengths_give_the_mask_back(rows: list[list[bool]]) -> None:
    values = np.array(rows, bool)
    runs = MaskImage("lung", values, float(values.mean()), 0.5).runs()
    assert sum(runs) == values.size
    assert all(length > 0 for length in runs[1:])
    flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool)
    assert np.array_equal(flat.reshape(values.shape), values)


@pytest.mark.parametrize(
    ("status", "analysed"),
    [("positive", True), ("negative", True), ("indeterminate", True), ("measured", True),
     ("not_analysed", False), ("failed", False)],
)  # fmt: skip
def test_could_not_look_is_never_an_answer(status: Any, analysed: bool) -> None:
    assert Status(status).analysed is analysed


def test_there_are_six_answers_and_every_reason_reads_as_its_code() -> None:
    assert len(Status) == 6
    assert all(str(reason) == reason.value == reason.name.lower() for reason in Reason)
