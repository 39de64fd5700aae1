"""The defining property: any cutting, any company, any restart gives the same bits."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.errors import TensorMismatch
from edge_dx.signal import CONCEALED, INVALID, Hops, Rules, Samples
from tests.signal.feeding import OF_ALL_KINDS, RATES, cut, feed, noise, path, same, same_state

RULES = Rules(full_scale_mv=5.0)


def hostile(n: int, seed: int) -> Samples:
    """Noise with every kind of trouble in it, in runs short and long."""
    rng = np.random.default_rng(seed)
    mv, off = noise(n, seed), np.zeros((n, 2), np.bool_)
    for _ in range(rng.integers(0, 12)):
        begin, lead = int(rng.integers(0, n)), int(rng.integers(0, 2))
        run = slice(begin, begin + int(rng.choice([1, 5, 16, 60, 700])))
        kind = rng.integers(0, 6)
        if kind == 5:
            off[run, lead] = True
        else:
            mv[run, lead] = [np.nan, np.inf, 1e300, 4.99, 0.25][kind]
    return Samples(mv, int(rng.integers(0, 2**40)), off if rng.integers(0, 2) else None)


def with_gaps(samples: Samples, seed: int) -> list[Samples]:
    """The pieces that are left when some of it never came."""
    rng, pieces, begin = np.random.default_rng(seed), [], 0
    while begin < len(samples.mv):
        end = begin + int(rng.choice([1, 7, 150, 900]))
        off = None if samples.lead_off is None else samples.lead_off[begin:end]
        pieces.append(Samples(samples.mv[begin:end], (samples.start or 0) + begin, off))
        begin = end + int(rng.choice([0, 0, 1, 9, 20, 300]))
    return pieces


sizes = st.lists(st.sampled_from([0, 1, 2, 7, 25, 36, 97, 251, 1009]), max_size=40)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(RATES), st.integers(0, 10_000), st.integers(1, 2500), sizes)
def test_any_cutting_gives_the_same_bits(rate: int, seed: int, n: int, how: list[int]) -> None:
    signal_path = path(rate, OF_ALL_KINDS, rules=RULES)
    pieces = with_gaps(hostile(n, seed), seed)
    finer = [part for piece in pieces for part in cut(piece, how)]
    whole_state, whole = feed(signal_path, pieces)
    state, block = feed(signal_path, finer)
    assert same(whole, block)
    assert same_state(whole_state, state)
    assert np.isfinite(block.values).all()


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("size", [1, 7, 97, 10_000])
def test_a_whole_record_is_the_sum_of_its_parts(rate: int, size: int) -> None:
    signal_path, samples = path(rate), Samples(noise(3000), 17)
    _, whole = feed(signal_path, [samples])
    _, block = feed(signal_path, cut(samples, [size] * (3000 // size)))
    assert same(whole, block)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RATES),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 600)), min_size=1, max_size=9),
    st.integers(0, 1000),
)
def test_streams_together_are_as_each_alone(
    rate: int, streams: list[tuple[int, int]], seed: int
) -> None:
    signal_path = path(rate, rules=RULES)
    states, alone = [signal_path.start()] * len(streams), [signal_path.start()] * len(streams)
    for turn in range(3):
        arrived = [
            Samples(hostile(max(n, 1), seed + turn + at).mv[:n], start + turn * 700)
            for at, (start, n) in enumerate(streams)
        ]
        states, blocks = signal_path.step_many(states, arrived)
        for number, samples in enumerate(arrived):
            alone[number], block = signal_path.step(alone[number], samples)
            assert same(block, blocks[number])
            assert same_state(alone[number], states[number])


def test_more_streams_than_go_in_one_call_keep_their_order() -> None:
    signal_path = path()
    arrived = [Samples(noise(40 + n % 3, n), 0) for n in range(150)]
    _, blocks = signal_path.step_many([signal_path.start()] * 150, arrived)
    for number in (0, 1, 63, 64, 65, 149):
        assert same(blocks[number], signal_path.step(signal_path.start(), arrived[number])[1])


# --- the state ---


def through_a_file(arrays: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as read:
        return {name: read[name] for name in read.files}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RATES), st.integers(0, 2000), st.integers(0, 2000))
def test_a_stream_resumed_from_disk_goes_on_as_if_nothing_had_been(
    rate: int, seed: int, at: int
) -> None:
    samples = hostile(2000, seed)
    signal_path = path(rate, rules=RULES)
    before, after = cut(samples, [at])
    state, head = feed(signal_path, [before])
    again = path(rate, rules=RULES)  # another process
    resumed = again.resume(through_a_file(state.to_arrays()))
    end, tail = feed(again, [after], resumed)
    whole_end, whole = feed(signal_path, [samples])
    assert head.values.tobytes() + tail.values.tobytes() == whole.values.tobytes()
    assert head.events + tail.events == whole.events
    assert same_state(end, whole_end)


def test_a_state_is_a_value() -> None:
    signal_path = path()
    state, _ = signal_path.step(signal_path.start(), noise(100))
    saved = {name: array.copy() for name, array in state.to_arrays().items()}
    one, first = signal_path.step(state, noise(100, 1))
    two, second = signal_path.step(state, noise(100, 1))
    assert same(first, second)
    assert same_state(one, two)
    assert all(np.array_equal(saved[name], array) for name, array in state.to_arrays().items())
    with pytest.raises(ValueError, match="read-only"):
        state.arrays["held"][0] = 1.0


def test_reset_is_zeros_and_nothing_known() -> None:
    arrays = path().start().arrays
    filters = [array for name, array in arrays.items() if name[0].isdigit()]
    assert filters
    assert not any(array.any() for array in filters)
    assert not arrays["held"].any()
    assert arrays["next"] == -1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda a: a.pop("state_version"), "no saved signal state"),
        (lambda a: a.update(state_version=np.array(99)), "version 99"),
        (lambda a: a.update(made_by=np.zeros(16, np.uint8)), "another signal path"),
        (lambda a: a.pop("held"), "lacks arrays"),
        (lambda a: a.update(more=np.zeros(1)), "too many"),
        (lambda a: a.update(held=np.zeros(3)), "'held'"),
        (lambda a: a.update(held=np.zeros(2, np.float32)), "float32"),
        (lambda a: a.update(held=np.array([0.0, np.nan])), "NaN"),
    ],
)
def test_a_spoilt_state_is_refused(spoil: Any, told: str) -> None:
    arrays = path().start().to_arrays()
    spoil(arrays)
    with pytest.raises(TensorMismatch, match=told):
        path().resume(arrays)


@pytest.mark.parametrize(
    "other",
    [path(250), path(leads=["I", "V1"]), path(mains_hz=60), path(rules=RULES), path(steps=())],
)
def test_a_state_of_another_path_is_refused(other: Any) -> None:
    with pytest.raises(TensorMismatch, match="another signal path"):
        path().step(other.start(), noise(1))
    with pytest.raises(TensorMismatch, match="another signal path"):
        path().resume(other.start().to_arrays())


# --- hops ---


@settings(max_examples=80, deadline=None)
@given(st.sampled_from([1, 5, 25, 64]), st.integers(0, 5000), sizes)
def test_hops_do_not_depend_on_the_cutting(size: int, seed: int, how: list[int]) -> None:
    signal_path = path(rules=RULES)
    hops = Hops(signal_path, size, receptive_field=100)
    pieces = with_gaps(hostile(2500, seed), seed)

    def run(chunks: list[Samples]) -> list[Any]:
        state, held, found = signal_path.start(), hops.start(), []
        for chunk in chunks:
            state, block = signal_path.step(state, chunk)
            held, full = hops.step(held, block)
            held = hops.resume(held.to_arrays())
            found += full
        return [(h.row, h.values.tobytes(), h.flags.tobytes(), h.reset, h.warm) for h in found]

    assert run(pieces) == run([part for piece in pieces for part in cut(piece, how)])


def test_a_hop_never_joins_what_a_gap_parted() -> None:
    signal_path = path(250, steps=())
    hops = Hops(signal_path, 25, receptive_field=60)
    ramp = np.arange(200.0)[:, None].repeat(2, 1) / 10
    state, block = signal_path.step(signal_path.start(), Samples(ramp[:90], 0))
    held, before = hops.step(hops.start(), block)
    state, block = signal_path.step(state, Samples(ramp[110:], 110))
    _, after = hops.step(held, block)
    assert [(h.row, h.reset, h.warm) for h in before] == [
        (0, True, False), (25, False, False), (50, False, True)
    ]  # fmt: skip
    assert [(h.row, h.reset, h.warm) for h in after] == [
        (110, True, False), (135, False, False), (160, False, True)
    ]  # fmt: skip
    for hop in (*before, *after):
        assert np.array_equal(hop.values[:, 0], np.arange(hop.row, hop.row + 25, dtype="f4") / 10)


def test_a_hop_carries_the_flags_of_its_rows() -> None:
    signal_path = path(250, steps=())
    mv = noise(100)
    mv[30:35, 0], mv[60:, 1] = np.nan, np.nan
    _, block = signal_path.step(signal_path.start(), mv)
    _, hops = Hops(signal_path, 25).step(Hops(signal_path, 25).start(), block)
    assert [hop.flags.tolist() for hop in hops] == [
        [0, 0], [CONCEALED, 0], [0, CONCEALED | INVALID], [0, INVALID]
    ]  # fmt: skip


def test_hops_publish_what_they_add() -> None:
    signal_path = path()
    hops = Hops(signal_path, 25, receptive_field=50, delay=10)
    assert hops.delay_s == pytest.approx(signal_path.clock.delay_s + 0.04)
    assert hops.latency_s == pytest.approx(hops.delay_s + 24 / 250)
    assert hops.when(1010) == signal_path.clock.when(1000)
    for wrong in ({"hop": 0}, {"hop": 1, "receptive_field": 0}, {"hop": 1, "delay": -1}):
        with pytest.raises(ValueError, match="at least"):
            Hops(signal_path, **wrong)
    with pytest.raises(TensorMismatch, match="other hops"):
        hops.step(Hops(signal_path, 24).start(), signal_path.step(signal_path.start(), noise(1))[1])
    full = {**hops.start().to_arrays(), "waiting": np.array(25)}
    with pytest.raises(TensorMismatch, match="waiting"):
        hops.resume(full)
