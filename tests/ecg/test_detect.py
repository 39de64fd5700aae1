"""Frames to R peaks: what is known when, and what a reset forgets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_dx.ecg.detect import _FLATTER as FLATTER
from edge_dx.ecg.detect import REFRACTORY, WITHIN, Peak, PeakDecoder, decode, fused

HOP, STRIDE, DELAY = 5, 5, 60
DECODER = PeakDecoder(threshold=0.4, delay=DELAY, stride=STRIDE, frames=HOP)
LEAST = np.log(0.4 / 0.6)

numbers = st.floats(-12, 12, width=32)
recordings = st.integers(1, 24).flatmap(
    lambda hops: hnp.arrays(np.float32, (hops * HOP, 3), elements=numbers)
)


def stacked(streams: int) -> dict[str, np.ndarray]:
    return {name: np.stack([a] * streams) for name, a in DECODER.start().items()}


def follow(frames: np.ndarray, valid: list[bool] | None = None, resets: set[int] = frozenset()):
    """The peaks of every hop of one stream, and its last state."""
    state, told = stacked(1), []
    for hop in range(len(frames) // HOP):
        state, found = DECODER.step(
            state,
            np.array([hop * HOP * STRIDE]),
            frames[None, hop * HOP : (hop + 1) * HOP],
            np.array([valid is None or valid[hop]]),
            np.array([hop == 0 or hop in resets]),
        )
        told.append(found[0])
    return told, state


def plain(frames: np.ndarray) -> list[int]:
    """The frames that are peaks, by the words of the module's docstring and nothing else."""
    logits, found = frames[:, 0], []
    for frame in range(len(frames) - WITHIN):
        around = np.r_[logits[max(0, frame - WITHIN) : frame], -99]
        after = logits[frame + 1 : frame + 1 + WITHIN]
        highest = logits[frame] > around.max() and logits[frame] >= after.max()
        if logits[frame] >= LEAST and highest and (not found or frame - found[-1] >= REFRACTORY):
            found.append(frame)
    return found


@given(recordings)
def test_the_peaks_are_those_of_the_definition(frames: np.ndarray) -> None:
    rows = [round(f * STRIDE + 2 - DELAY) for f in plain(frames)]
    found = decode(DECODER, frames)
    assert len(found) == len(rows)
    for peak, row in zip(found, rows, strict=True):
        assert abs(peak.row - row) <= STRIDE


@given(recordings, st.integers(0, 23))
def test_what_comes_later_changes_nothing_that_was_said(frames: np.ndarray, hops: int) -> None:
    told, _ = follow(frames)
    early = frames.copy()
    early[hops * HOP :] = np.random.default_rng(0).normal(size=early[hops * HOP :].shape) * 9
    again, _ = follow(early)
    assert again[:hops] == told[:hops]


@given(recordings)
def test_no_two_beats_within_the_refractory_time(frames: np.ndarray) -> None:
    rows = [peak.row for peak in decode(DECODER, frames)]
    # Places may move both by up to a frame towards each other.
    assert all(b - a >= (REFRACTORY - 2) * STRIDE for a, b in pairwise(rows))


@given(recordings)
def test_no_beat_of_frames_below_the_threshold(frames: np.ndarray) -> None:
    assert all(peak.logit >= LEAST for peak in decode(DECODER, frames))
    frames[:, 0] = np.minimum(frames[:, 0], np.float32(LEAST) - np.float32(1e-3))
    assert decode(DECODER, frames) == []


@given(recordings, recordings)
def test_a_reset_equals_a_fresh_start(before: np.ndarray, after: np.ndarray) -> None:
    hops = len(before) // HOP
    told, state = follow(np.concatenate([before, after]), resets={hops})
    alone, fresh = follow(after)
    shift = hops * HOP * STRIDE
    assert [[p._replace(row=p.row - shift) for p in hop] for hop in told[hops:]] == alone
    for name, array in fresh.items():
        np.testing.assert_array_equal(state[name], array)


@settings(deadline=None)
@given(st.lists(recordings, min_size=1, max_size=4), st.data())
def test_streams_together_are_streams_alone(many: list[np.ndarray], data: st.DataObject) -> None:
    hops = min(len(frames) for frames in many) // HOP
    flags = hnp.arrays(np.bool_, (hops, len(many)))
    valid, reset = data.draw(flags), data.draw(flags)
    reset[0] = True
    state, together = stacked(len(many)), []
    for hop in range(hops):
        rows = np.full(len(many), hop * HOP * STRIDE)
        part = np.stack([frames[hop * HOP : (hop + 1) * HOP] for frames in many])
        state, found = DECODER.step(state, rows, part, valid[hop], reset[hop])
        together.append(found)
    for number, frames in enumerate(many):
        alone, own = follow(
            frames[: hops * HOP], list(valid[:, number]), set(np.flatnonzero(reset[:, number]))
        )
        assert alone == [found[number] for found in together]
        for name, array in own.items():
            np.testing.assert_array_equal(array[0], state[name][number])


@given(recordings)
def test_the_state_keeps_its_shapes_and_the_old_one_its_values(frames: np.ndarray) -> None:
    first = stacked(1)
    kept = {name: array.copy() for name, array in first.items()}
    state = first
    for hop in range(len(frames) // HOP):
        part = frames[None, hop * HOP : (hop + 1) * HOP]
        yes = np.array([True])
        state, _ = DECODER.step(state, np.array([0]), part, yes, yes if hop == 0 else ~yes)
    for name, array in DECODER.start().items():
        assert state[name].shape == (1, *array.shape)
        assert state[name].dtype == array.dtype
        np.testing.assert_array_equal(first[name], kept[name])


def test_a_peak_stands_where_the_frame_and_its_place_say() -> None:
    frames = np.full((20, 3), -5, np.float32)
    frames[8] = 4.0, 1.4, -5
    told, _ = follow(frames)
    # Frame 8 is rows 40 to 44, its middle 42; 1.4 rows on, and the delay back.
    assert told == [[], [], [Peak(42 + 1 - DELAY, 4.0, False)], []]
    arrived = 3 * HOP * STRIDE - 1
    assert arrived - told[2][0].row <= DECODER.wait


def test_frames_that_may_not_be_believed_give_no_beat() -> None:
    frames = np.full((20, 3), -5, np.float32)
    frames[8] = 4.0, 0, 5
    told, state = follow(frames, valid=[True, False, True, True])
    assert told == [[], [], [], []]
    assert not state["noisy"][0]


def test_noise_begins_and_ends_with_hysteresis() -> None:
    quiet, between, loud = (np.zeros((HOP, 3), np.float32) for _ in range(3))
    quiet[:, 2], between[:, 2], loud[:, 2] = -6, -1.1, 6  # a chance of 0.25 between them
    hops = [quiet] * 5 + [between] * 60 + [loud] * 30 + [between] * 60 + [quiet] * 30
    state, said = stacked(1), []
    for number, hop in enumerate(hops):
        yes = np.array([True])
        state, _ = DECODER.step(state, np.array([0]), hop[None], yes, yes if not number else ~yes)
        said.append(bool(state["noisy"][0]))
    # What lies between is neither enough to begin nor enough to end.
    assert not any(said[:65])
    assert all(said[85:155])
    assert not any(said[170:])


@given(
    hnp.arrays(np.float32, (3, HOP, 3), elements=numbers),
    hnp.arrays(np.bool_, 3, elements=st.booleans()),
)
def test_leads_that_may_not_be_believed_have_no_vote(frames: np.ndarray, valid: np.ndarray) -> None:
    changed = frames.copy()
    changed[~valid] = 7
    if valid.any():
        np.testing.assert_array_equal(fused(frames, valid), fused(changed, valid))
        low, high = frames[valid].min(axis=0), frames[valid].max(axis=0)
        # Of several leads the peak's logit stands a constant higher, see detect.py.
        high[:, 0] += FLATTER * (valid.sum() > 1)
        assert (fused(frames, valid) >= low - 1e-4).all()
        assert (fused(frames, valid) <= high + 1e-4).all()
    if valid.sum() == 1:
        np.testing.assert_array_equal(fused(frames, valid), frames[valid][0])


def test_a_clean_lead_is_heard_above_a_noisy_one() -> None:
    clean, noisy = (np.zeros((HOP, 3), np.float32) for _ in range(2))
    clean[:, 0], clean[:, 2] = 3, -6
    noisy[:, 0], noisy[:, 2] = -3, 6
    both = np.array([True, True])
    assert (fused(np.stack([clean, noisy]), both)[:, 0] > 2.5).all()


@given(
    hnp.arrays(np.float32, (4, 3, HOP, 3), elements=numbers),
    hnp.arrays(np.bool_, (4, 3), elements=st.booleans()),
)
def test_leads_of_many_streams_are_joined_as_each_alone(
    frames: np.ndarray, valid: np.ndarray
) -> None:
    together = fused(frames, valid)
    for number in range(4):
        np.testing.assert_array_equal(together[number], fused(frames[number], valid[number]))


def test_the_first_lead_says_where_the_peak_is() -> None:
    first, other = (np.zeros((HOP, 3), np.float32) for _ in range(2))
    first[:, 1], other[:, 1] = 2, -2
    told = fused(np.stack([first, other]), np.array([True, True]))
    np.testing.assert_allclose(told[:, 1], 2 * (1 - 0.25) / 1.25, rtol=1e-5)
    alone = fused(np.stack([first, other]), np.array([False, True]))
    np.testing.assert_array_equal(alone[:, 1], other[:, 1])


@pytest.mark.parametrize("wrong", [{"threshold": 0}, {"threshold": 1}, {"delay": -1},
                                   {"stride": 0}, {"frames": 0}])  # fmt: skip
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    told = {"threshold": 0.4, "delay": DELAY, "stride": STRIDE, "frames": HOP} | wrong
    with pytest.raises(ValueError, match="threshold between 0 and 1"):
        PeakDecoder(**told)
