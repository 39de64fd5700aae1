"""Gaps, electrodes and values that are none: what becomes an event, and what a filter sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_dx.errors import OutOfOrder, TensorMismatch
from edge_dx.signal import (
    CONCEALED,
    INVALID,
    WARMUP,
    Gap,
    Highpass,
    LeadOff,
    Quality,
    Rules,
    Samples,
    SignalPath,
    Warmup,
)
from tests.signal.feeding import feed, noise, path


def plain(rate: int = 250, **rest: Any) -> SignalPath:
    """No filters: rows are samples, so that what the front did can be seen."""
    return path(rate, (), **rest)


@pytest.mark.parametrize(("lost", "concealed"), [(1, True), (10, True), (11, False), (5000, False)])
def test_a_jump_of_the_index_is_a_gap(lost: int, concealed: bool) -> None:
    x = noise(100)
    _, block = feed(plain(), [Samples(x[:50], 1000), Samples(x[50:], 1050 + lost)])
    assert [e for e in block.events if isinstance(e, Gap)] == [
        Gap(1050, 1050 + lost, lost, concealed)
    ]
    if concealed:
        assert np.array_equal(block.index, np.arange(1000, 1100 + lost))
        assert (block.values[50 : 50 + lost] == x[49]).all()
        assert (block.flags[50 : 50 + lost] == CONCEALED).all()
        assert (block.segment == block.segment[0]).all()
    else:
        assert np.array_equal(block.index[[49, 50]], [1049, 1050 + lost])
        assert (block.segment[50:] == block.segment[49] + 1).all()
        assert not block.flags.any()
    assert np.array_equal(block.values[-50:], x[50:])


def test_forty_milliseconds_are_counted_at_any_rate() -> None:
    for rate, samples in ((125, 5), (128, 5), (250, 10), (360, 14), (500, 20), (1000, 40)):
        for lost, concealed in ((samples, True), (samples + 1, False)):
            _, block = feed(plain(rate), [Samples(noise(5), 0), Samples(noise(5), 5 + lost)])
            assert next(e for e in block.events if isinstance(e, Gap)).concealed is concealed


def test_after_a_long_gap_the_filters_stand_at_the_new_level() -> None:
    """What was before leaves no trace: not in the filter, not in the resampler."""
    x = noise(2000) + 200.0
    signal_path = path()
    _, other = feed(signal_path, [Samples(noise(500) - 100, 0), Samples(x, 3600)])
    _, fresh = feed(signal_path, [Samples(x, 3600)])
    after = other.index >= signal_path.clock.first_row(3600)
    assert np.array_equal(other.values[after], fresh.values)
    assert np.abs(fresh.values[:20]).max() < 10  # and not at 200 mV from a level of 0
    assert other.events[-2:] == fresh.events[-2:]


def test_a_lead_that_comes_back_begins_anew_and_the_other_goes_on() -> None:
    x = noise(3000)
    broken = x.copy()
    broken[1000:1500, 1] = np.nan
    signal_path = path(250, [Highpass(cutoff_hz=0.5)])
    _, whole = feed(signal_path, [x])
    _, block = feed(signal_path, [broken])
    assert np.array_equal(block.values[:, 0], whole.values[:, 0])
    _, tail = feed(signal_path, [x[1500:]])
    assert np.array_equal(block.values[1500:, 1], tail.values[:, 1])
    assert block.segment[[0, 1499, 1500], 1].tolist() == [1, 1, 2]
    assert (block.flags[1000:1010, 1] == CONCEALED).all()
    assert (block.flags[1010:1500, 1] & INVALID).all()
    assert (block.flags[1500:2000, 1] == WARMUP).all()
    assert [e for e in block.events if isinstance(e, Quality)] == [
        Quality(1000, 1000, "II", "concealed", "not_finite"),
        Quality(1010, 1010, "II", "invalid", "not_finite"),
        Quality(1500, 1500, "II", "valid", None),
    ]
    assert Warmup(1500, 1500, "II", ready=False) in block.events


@pytest.mark.parametrize(
    ("value", "cause"),
    [(np.nan, "not_finite"), (-np.inf, "not_finite"), (1e300, "absurd"), (1001.0, "absurd"),
     (-4.75, "saturated"), (5.0, "saturated")],
)  # fmt: skip
def test_values_that_are_none_have_their_cause(value: float, cause: str) -> None:
    x = noise(200).clip(-4, 4)
    x[100:140, 0] = value
    _, block = feed(plain(rules=Rules(full_scale_mv=5.0)), [x])
    told = [e for e in block.events if isinstance(e, Quality)]
    assert [(e.index, e.lead, e.state, e.cause) for e in told] == [
        (100, "I", "concealed", cause), (110, "I", "invalid", cause), (140, "I", "valid", None)
    ]  # fmt: skip
    assert (block.values[100:140, 0] == x[99, 0]).all()


def test_a_flat_line_is_told_when_it_is_known_and_from_where_it_was() -> None:
    x = noise(1000)
    x[300:700, 1] = x[299, 1]
    _, block = feed(plain(), [x])
    assert [e for e in block.events if isinstance(e, Quality)] == [
        Quality(299, 549, "II", "invalid", "flat"),
        Quality(700, 700, "II", "valid", None),
    ]
    assert not block.flags[:549].any()
    assert (block.flags[549:700, 1] == INVALID).all()


def test_a_quiet_line_with_noise_on_it_is_not_flat() -> None:
    rng = np.random.default_rng(0)
    _, block = feed(plain(), [rng.normal(0, 0.005, (5000, 2))])
    assert not block.flags.any()


def test_lead_off_bits_make_a_lead_invalid() -> None:
    x, off = noise(300), np.zeros((300, 2), np.bool_)
    off[100:200, 0] = off[250:255, 1] = True
    _, block = feed(plain(), [Samples(x, 0, off)])
    assert [e for e in block.events if isinstance(e, LeadOff)] == [
        LeadOff(100, 100, "I", True), LeadOff(200, 200, "I", False),
        LeadOff(250, 250, "II", True), LeadOff(255, 255, "II", False),
    ]  # fmt: skip
    assert (block.flags[110:200, 0] == INVALID).all()
    assert (block.flags[250:255, 1] == CONCEALED).all()
    assert block.segment[-1].tolist() == [2, 1]


def test_samples_that_never_came_do_not_change_the_lead_off_bit() -> None:
    off = np.ones((10, 2), np.bool_)
    _, block = feed(plain(), [Samples(noise(10), 0, off), Samples(noise(10), 15, off)])
    assert sum(isinstance(e, LeadOff) for e in block.events) == 2


def test_a_stream_that_begins_without_an_electrode() -> None:
    x = noise(600)
    x[:300, 0] = np.nan
    _, block = feed(plain(), [Samples(x, 77)])
    assert (block.flags[:300, 0] == INVALID).all()
    assert (block.values[:300, 0] == 0).all()
    assert [e for e in block.events if isinstance(e, Quality)] == [
        Quality(77, 77, "I", "invalid", "not_finite"), Quality(377, 377, "I", "valid", None)
    ]  # fmt: skip


def test_resampled_rows_are_marked_wherever_a_held_sample_is_in_them() -> None:
    x = noise(1000)
    x[500:504, 0] = np.nan
    signal_path = path(360)
    _, block = feed(signal_path, [x])
    field = signal_path.timings[0].receptive_field_samples
    marked = block.index[block.flags[:, 0] & CONCEALED > 0]
    assert marked[0] == signal_path.clock.first_row(500)
    assert marked[-1] == signal_path.clock.first_row(504 + field - 1) - 1
    assert not (block.flags[:, 1] & CONCEALED).any()


# --- refused ---


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(5), np.zeros((5, 3)), np.zeros((2, 2, 2)), np.zeros((5, 2), complex),
        np.zeros((5, 2), object), np.full((5, 2), "1"), np.zeros((5, 2), np.bool_),
        Samples(np.zeros((5, 2)), -1), Samples(np.zeros((5, 2)), 2**53),
        Samples(np.zeros((5, 2)), 0, np.zeros((5, 2))),
        Samples(np.zeros((5, 2)), 0, np.zeros((4, 2), np.bool_)),
    ],
)  # fmt: skip
def test_what_is_no_signal_is_a_typed_error(wrong: Any) -> None:
    with pytest.raises(TensorMismatch):
        plain().step(plain().start(), wrong)


def test_an_index_that_has_passed_is_refused_and_the_state_is_still_good() -> None:
    signal_path = plain()
    state, _ = signal_path.step(signal_path.start(), Samples(noise(100), 1000))
    for start in (0, 999, 1099):
        with pytest.raises(OutOfOrder, match="came after those up to 1099"):
            signal_path.step(state, Samples(noise(5), start))
    signal_path.step(state, Samples(noise(5), 1100))


def test_nothing_is_nothing() -> None:
    signal_path = path()
    state, block = signal_path.step(signal_path.start(), np.zeros((0, 2)))
    assert block.values.shape == (0, 2)
    assert block.events == ()
    assert np.array_equal(state.arrays["next"], -1)


VALUES = arrays.arrays(
    st.sampled_from([np.float64, np.float32, np.int16, np.int64]),
    st.tuples(st.integers(0, 80), st.just(2)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(VALUES, st.integers(0, 60)), max_size=8))
def test_any_numbers_give_finite_rows_and_no_event_of_the_future(
    arrived: list[tuple[Any, int]],
) -> None:
    signal_path, index = path(), 0
    state = signal_path.start()
    for mv, skipped in arrived:
        index += skipped
        state, block = signal_path.step(state, Samples(mv, index))
        index += len(mv)
        assert np.isfinite(block.values).all()
        assert all(0 <= event.index <= event.at < index for event in block.events)
        assert len(block.index) == 0 or signal_path.clock.arrives(int(block.index[-1])) < index
        ats = [event.at for event in block.events]
        assert ats == sorted(ats)
