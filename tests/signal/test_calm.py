"""The short way of calm streams: the same bits as the long one, alone and side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.errors import OutOfOrder, TensorMismatch
from edge_dx.signal import Bandpass, Block, Notch, Resample, Rules, Samples, Scale, SignalPath

STEPS = [Resample(to_hz=250), Notch(), Bandpass(low_hz=0.5, high_hz=40.0),
         Scale(factor=1.0, limit=5.0)]  # fmt: skip
RATES = (130, 250, 256, 300, 360, 500)


def path(rate: int) -> SignalPath:
    return SignalPath(STEPS, rate_hz=rate, leads=("II", "V1"), mains_hz=50,
                      rules=Rules(full_scale_mv=5.0))  # fmt: skip


def long_way(rate: int, monkeypatch: pytest.MonkeyPatch) -> SignalPath:
    made = path(rate)
    monkeypatch.setattr(made._calm, "plain", lambda *_: None)
    return made


def same(one: Block, other: Block) -> bool:
    return one.events == other.events and all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in ("index", "values", "flags", "segment")
    )


def signal(seed: int, n: int, trouble: list[tuple[int, int, str]]) -> np.ndarray:
    random = np.random.default_rng(seed)
    mv = np.cumsum(random.normal(0, 0.05, (n, 2)), axis=0) * 0.2
    mv[random.random((n, 2)) < 0.2] = 0.0  # values that come again, as converters give them
    for at, length, what in trouble:
        mv[at : at + length] = {"nan": np.nan, "flat": 0.25, "rail": 4.9, "absurd": 1e5}[what]
    return mv


TROUBLE = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(1, 900),
              st.sampled_from(["nan", "flat", "rail", "absurd"])),
    max_size=3,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from(RATES), seed=st.integers(0, 99), trouble=TROUBLE,
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=30),
)  # fmt: skip
def test_the_short_way_gives_the_bits_of_the_long_one(
    rate: int, seed: int, trouble: list[Any], sizes: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        short, long = path(rate), long_way(rate, patch)
        mv = signal(seed, 5000, trouble)
        one, other = short.start(), long.start()
        at = turn = 0
        while at < len(mv):
            n = sizes[turn % len(sizes)] if any(sizes) else 100
            one, given_ = short.step(one, mv[at : at + n])
            other, wanted = long.step(other, mv[at : at + n])
            assert same(given_, wanted)
            at, turn = at + n, turn + 1
        assert one.arrays.keys() == other.arrays.keys()
        for name, array in one.arrays.items():
            assert array.dtype == other.arrays[name].dtype, name
            assert array.shape == other.arrays[name].shape, name
            assert np.array_equal(array, other.arrays[name]), name


@settings(max_examples=15, deadline=None)
@given(rate=st.sampled_from(RATES), seed=st.integers(0, 99), trouble=TROUBLE)
def test_streams_side_by_side_are_each_as_alone(rate: int, seed: int, trouble: list[Any]) -> None:
    made, hop = path(rate), rate // 10
    signals = [signal(seed + k, 4000, trouble if k == 1 else []) for k in range(3)]
    alone = [made.start() for _ in signals]
    joined = made.join(alone)
    for at in range(0, 4000, hop):
        parts: list[Any] = [mv[at : at + hop] for mv in signals]
        parts[2] = Samples(parts[2], at, np.zeros(parts[2].shape, np.bool_))
        joined, blocks = made.step_joined(joined, parts)
        for k, part in enumerate(parts):
            alone[k], block = made.step(alone[k], part)
            assert same(block, blocks[k])
    for state, split in zip(alone, made.split(joined), strict=True):
        assert all(np.array_equal(array, split.arrays[n]) for n, array in state.arrays.items())


def test_most_arrivals_of_a_whole_signal_take_the_short_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, calls = path(360), list[bool]()
    asked = made._calm.step
    monkeypatch.setattr(made._calm, "step", lambda *a: calls.append(True) or asked(*a))
    state, mv = made.start(), signal(1, 360 * 20, [])
    for at in range(0, len(mv), 36):
        state, _ = made.step(state, mv[at : at + 36])
    assert len(calls) > 150


def test_an_old_state_stays_what_it_was() -> None:
    made = path(250)
    state, mv = made.start(), signal(2, 2000, [])
    state, _ = made.step(state, mv[:1500])
    first, second = made.step(state, mv[1500:]), made.step(state, mv[1500:])
    assert same(first[1], second[1])


def test_joined_states_are_checked() -> None:
    made, other = path(250), path(360)
    joined = made.join([made.start()])
    with pytest.raises(TensorMismatch, match="another"):
        other.step_joined(joined, [np.zeros((5, 2))])
    with pytest.raises(TensorMismatch, match="1 streams"):
        made.step_joined(joined, [])
    with pytest.raises(TensorMismatch, match="at least one"):
        made.join([])
    state, _ = made.step(made.start(), Samples(np.zeros((5, 2)), 100))
    with pytest.raises(OutOfOrder):
        made.step_joined(made.join([state]), [Samples(np.zeros((5, 2)), 3)])


def test_one_stream_in_trouble_leaves_the_others_in_bulk() -> None:
    made = path(360)
    states = [made.start() for _ in range(5)]
    mv = [signal(seed, 3600, []) for seed in range(5)]
    states, _ = made.step_many(states, [own[:2000] for own in mv])
    joined = made.join(states)
    chunks: list[Any] = [own[2000:2036].copy() for own in mv]
    chunks[1] = Samples(chunks[1], 2000, np.ones((36, 2), np.bool_))  # loose electrodes
    chunks[3][7] = np.nan
    joined, blocks = made.step_joined(joined, chunks)
    assert [lot.streams.tolist() for lot in blocks.lots] == [[0, 2, 4]]
    assert list(joined.calm) == [True, False, True, False, True]
    for stream, block in enumerate(blocks):
        state, wanted = made.step(states[stream], chunks[stream])
        assert same(block, wanted)
        assert all(np.array_equal(array, joined.arrays[name][stream])
                   for name, array in state.arrays.items())  # fmt: skip


def test_streams_at_other_places_of_the_round_go_in_lots_of_their_own() -> None:
    made = path(360)
    states = [made.step(made.start(), signal(n, 2000 + n % 2, []))[0] for n in range(4)]
    _, blocks = made.step_joined(made.join(states), [signal(9, 36, [])] * 4)
    assert [lot.streams.tolist() for lot in blocks.lots] == [[0, 2], [1, 3]]
    assert len(blocks[1:3]) == 2
    with pytest.raises(IndexError):
        blocks[4]


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.int64])
def test_numbers_of_any_kind_take_the_short_way(dtype: Any) -> None:
    made = path(360)
    state, _ = made.step(made.start(), signal(1, 2000, []))
    mv = np.arange(72).reshape(36, 2).astype(dtype) % 3
    assert same(made.step(state, mv)[1], made.step(state, mv.astype(np.float64))[1])
    assert made._calm.plain(2000, mv) is mv


def test_what_the_caller_does_with_his_array_afterwards_changes_nothing() -> None:
    bare = SignalPath([], rate_hz=250, leads=("II",))
    mv = np.arange(10.0)[:, None] % 4
    state, _ = bare.step(bare.start(), mv)
    state, block = bare.step(state, mv)
    mv[:] = 99.0
    assert block.values.max() == 3.0
    assert state.arrays["held"] == 1.0
