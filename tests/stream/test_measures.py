"""How long a picture stands still, and how long answers take."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.stream.latencies import Latencies
from edge_dx.stream.stillness import Stillness

A = np.zeros((4, 4), np.uint8)
B = A.copy()
B[0, 0] = 1


def test_a_picture_stands_still_from_when_it_was_first_seen() -> None:
    stillness = Stillness()
    seen = [(A, 10.0), (A.copy(), 10.5), (A, 12.0), (B, 12.5), (B, 13.0), (A, 20.0)]
    assert [stillness.of(pixels, at) for pixels, at in seen] == [0, 0.5, 2.0, 0, 0.5, 0]


def test_frames_without_a_time_add_none() -> None:
    stillness = Stillness()
    seen = [(A, None), (A, None), (A, 5.0), (A, None), (A, 6.0), (B, None), (B, 7.0), (B, 9.0)]
    assert [stillness.of(pixels, at) for pixels, at in seen] == [0, 0, 0, 0, 1.0, 0, 0, 2.0]


def test_a_clock_that_goes_back_gives_no_negative_time() -> None:
    stillness = Stillness()
    assert [stillness.of(A, at) for at in (5.0, 3.0)] == [0, 0]


def test_another_shape_is_another_picture() -> None:
    stillness = Stillness()
    stillness.of(A, 0.0)
    assert stillness.of(np.dstack([A, A, A]), 9.0) == 0


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=200))
def test_percentiles_are_right_to_one_in_a_hundred(durations: list[float]) -> None:
    latencies = Latencies()
    for duration in durations:
        latencies.add(duration)
    assert latencies.worst_ms == max(durations)
    for percent in (1, 50, 90, 99, 100):
        exact = float(np.percentile(durations, percent, method="inverted_cdf"))
        found = latencies.percentile(percent)
        assert found is not None
        assert exact * (1 - 1e-9) <= found <= exact * 1.01 * (1 + 1e-9)


def test_nothing_counted_has_no_percentile() -> None:
    latencies = Latencies()
    assert latencies.percentile(50) is None
    assert latencies.to_dict() == dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "worst_ms"))


@pytest.mark.parametrize("duration", [0.0, 1e-9, 1e12])
def test_any_duration_is_counted(duration: float) -> None:
    latencies = Latencies()
    latencies.add(duration)
    assert latencies.count == 1
    assert latencies.to_dict()["worst_ms"] == round(duration, 3)
