"""The defining property of a stream: any cutting, company or restart gives the same events."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.ecg.events import Beat, Judging, certain_at, happened_at
from edge_dx.errors import OutOfOrder, TensorMismatch
from edge_dx.signal import Gap, Samples
from tests.ecg import tiny_stream
from tests.ecg.scripted import backends, ecg, feed, same_state, stream, true_beats
from tests.signal.feeding import cut

RATES = (130, 250, 256, 300, 360, 500)
ANSWERS = ("at_once", "one_beat_late")
sizes = st.lists(st.sampled_from([0, 1, 2, 7, 25, 36, 97, 251, 1009]), max_size=40)


def troubled(rate: int, seed: int, leads: int) -> list[Samples]:
    """An ECG with electrodes that come off, values that are none, and pieces that never came."""
    rng = np.random.default_rng(seed)
    mv = ecg(rate, 20, leads, seed % 5)
    off = np.zeros(mv.shape, np.bool_)
    for _ in range(rng.integers(0, 5)):
        begin, lead = int(rng.integers(0, len(mv))), int(rng.integers(0, leads))
        run = slice(begin, begin + int(rng.choice([1, 8, 60, 700, 2000])))
        kind = int(rng.integers(0, 4))
        if kind == 3:
            off[run, lead] = True
        else:
            mv[run, lead] = [np.nan, 1e300, 0.25][kind]
    start, pieces, begin = int(rng.integers(0, 2**40)), [], 0
    while begin < len(mv):
        end = begin + int(rng.choice([150, 900, 2500, len(mv)]))
        pieces.append(Samples(mv[begin:end], start + begin, off[begin:end]))
        begin = end + int(rng.choice([0, 1, 9, 20, 300, 900]))
    return pieces


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RATES), st.integers(0, 10_000), st.integers(1, 2),
       st.sampled_from(ANSWERS), sizes)  # fmt: skip
def test_any_cutting_gives_the_same_events(
    rate: int, seed: int, leads: int, answer: str, how: list[int]
) -> None:
    made = stream(rate, ("II", "V1")[:leads], answer=answer)
    pieces = troubled(rate, seed, leads)
    whole_state, whole = feed(made, pieces)
    state, events = feed(made, [part for piece in pieces for part in cut(piece, how)])
    assert events == whole
    assert same_state(state, whole_state)
    assert made.finish(state) == made.finish(whole_state)
    known = [certain_at(event) for event in events]
    assert known == sorted(known)
    assert all(happened_at(event) <= certain_at(event) for event in events)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("size", [1, 7, 97])
def test_a_whole_recording_is_the_sum_of_its_parts(rate: int, size: int) -> None:
    made, samples = stream(rate), Samples(ecg(rate, 8), 17)
    state, whole = feed(made, [samples])
    assert sum(isinstance(event, Beat) for event in whole) >= 5
    other, events = feed(made, cut(samples, [size] * (len(samples.mv) // size)))
    assert events == whole
    assert same_state(state, other)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("answer", ANSWERS)
def test_beats_stand_where_they_are_and_are_told_in_time(rate: int, answer: str) -> None:
    made = stream(rate, answer=answer)
    state, events = feed(made, [ecg(rate, 20)])
    events += made.finish(state)
    beats = [event for event in events if isinstance(event, Beat)]
    judged = next(event for event in events if isinstance(event, Judging))
    true = [index for index in true_beats(rate, 20) if index > judged.sample + rate // 10]
    for index in true:
        nearest = min(beats, key=lambda beat: abs(beat.sample - index))
        assert abs(nearest.sample - index) <= 0.04 * rate, index  # frames of 20 ms
        late = (nearest.certain_at - nearest.sample) / rate
        assert late <= made.info.latency_s + 0.005 or answer == "one_beat_late"
    assert len(beats) <= 1.25 * len(true)
    assert judged.sample >= made.info.warmup_s * rate - made.info.latency_s * rate


def test_networks_always_see_one_hop() -> None:
    own = backends()
    made = stream(360, ("II", "V1"), own)
    feed(made, cut(Samples(ecg(360, 6, 2), 0), [1, 500, 0, 3, 1100]))
    assert set(own["detector"].calls) == {2}


def test_several_streams_are_as_each_alone() -> None:
    made = stream(360, ("II", "V1"), answer="one_beat_late")
    pieces = [troubled(360, seed, 2) for seed in range(7)]
    turns = max(map(len, pieces))
    states, told = [made.start() for _ in pieces], [[] for _ in pieces]
    for turn in range(turns):
        there = [k for k, own in enumerate(pieces) if turn < len(own)]
        after, events = made.step_many([states[k] for k in there],
                                       [pieces[k][turn] for k in there])  # fmt: skip
        for k, state, own in zip(there, after, events, strict=True):
            states[k] = state
            told[k] += own
    for own, state, events in zip(pieces, states, told, strict=True):
        alone, wanted = feed(made, own)
        assert events == wanted
        assert same_state(state, alone)


@pytest.mark.parametrize(("rate", "size"), [(250, 25), (250, 10), (360, 36), (130, 13), (500, 40)])
@pytest.mark.parametrize("answer", ANSWERS)
def test_streams_side_by_side_are_as_each_alone(rate: int, size: int, answer: str) -> None:
    """Calm ones go a short way; one is troubled now and then, one began in the middle of a hop."""
    made = stream(rate, ("II", "V1"), answer=answer)
    signals = [ecg(rate, 16, 2, seed) for seed in range(4)]
    signals[1][5 * rate : 5 * rate + 60] = np.nan
    signals[1][9 * rate : 9 * rate + 5, 0] = np.inf
    first, _ = made.step(made.start(), ecg(rate, 1, 2)[: size // 2])
    starts = [made.start(), made.start(), first, made.start()]
    joined, told = made.join(starts), [[] for _ in signals]
    for begin in range(0, len(signals[0]), size):
        chunks = [mv[begin : begin + size] for mv in signals]
        joined, events = made.step_joined(joined, chunks)
        for own, new in zip(told, events, strict=True):
            own += new
    for mv, begin, state, events in zip(signals, starts, made.split(joined), told, strict=True):
        alone, wanted = feed(made, [mv], begin)
        assert events == wanted
        assert sum(isinstance(event, Beat) for event in events) > 3
        assert same_state(state, alone)


def test_joining_needs_streams_of_this_kind() -> None:
    made, other = stream(), stream(360)
    for wrong in ([], [made.start(), other.start()]):
        with pytest.raises(TensorMismatch):
            made.join(wrong)
    with pytest.raises(TensorMismatch, match="another stream"):
        made.step_joined(other.join([other.start()]), [np.zeros((1, 1))])
    with pytest.raises(TensorMismatch):
        made.step_joined(made.join([made.start()]), [])


def test_real_networks_tell_the_same_alone_and_together() -> None:
    """Products of another size may differ in their last bits; what is told does not."""
    with tiny_stream.opened() as model:
        made = model.stream(rate_hz=360, leads=("II",))
        signals = [ecg(360, 12, seed=seed) for seed in range(9)]
        states, told = [made.start() for _ in signals], [[] for _ in signals]
        for begin in range(0, len(signals[0]), 36):
            states, events = made.step_many(states, [mv[begin : begin + 36] for mv in signals])
            for own, new in zip(told, events, strict=True):
                own += new
        for mv, events in zip(signals, told, strict=True):
            _, wanted = feed(made, [mv])
            assert len(wanted) == len(events) > 10
            for one, other in zip(events, wanted, strict=True):
                if isinstance(one, Beat):
                    assert one.probability == pytest.approx(other.probability, abs=1e-5)
                    one = Beat(**{**vars(one), "probability": other.probability})
                assert one == other


# --- the state ---


def through_a_file(arrays: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    with np.load(file, allow_pickle=False) as read:
        return {name: read[name] for name in read.files}


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(RATES), st.integers(0, 2000), st.floats(0, 1), st.sampled_from(ANSWERS))
def test_a_stream_resumed_from_disk_goes_on_as_if_nothing_had_been(
    rate: int, seed: int, place: float, answer: str
) -> None:
    made, again = (stream(rate, ("II", "V1"), answer=answer) for _ in range(2))
    pieces = troubled(rate, seed, 2)
    at = int(place * len(pieces[0].mv))
    before, after = cut(pieces[0], [at])
    state, head = feed(made, [before])
    end, tail = feed(again, [after, *pieces[1:]], again.resume(through_a_file(state.to_arrays())))
    whole_end, whole = feed(made, pieces)
    assert head + tail == whole
    assert same_state(end, whole_end)


def test_a_state_is_a_value() -> None:
    made, mv = stream(), ecg()
    state, _ = feed(made, [mv[:2000]])
    saved = {name: array.copy() for name, array in state.to_arrays().items()}
    one, first = made.step(state, mv[2000:])
    two, second = made.step(state, mv[2000:])
    assert first == second
    assert same_state(one, two)
    assert all(np.array_equal(saved[n], a, equal_nan=a.dtype.kind == "f")
               for n, a in state.to_arrays().items())  # fmt: skip


def test_a_state_is_small() -> None:
    made = stream(500, ("II", "V1"), answer="one_beat_late")
    state, _ = feed(made, [ecg(500, 20, 2)])
    assert state.bytes <= 64 * 1024


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda a: a.pop("stream_state_version"), "no saved state"),
        (lambda a: a.update(stream_state_version=np.array(99)), "version 99"),
        (lambda a: a.update(stream_made_by=np.zeros(16, np.uint8)), "another stream"),
        (lambda a: a.pop("rows/kept"), "lacks arrays"),
        (lambda a: a.update({"rows/more": np.zeros(1)}), "too many"),
        (lambda a: a.update({"rows/kept": np.zeros(3)}), "'rows/kept'"),
        (lambda a: a.update({"peaks/memory": a["peaks/memory"] + np.inf}), "no number"),
        (lambda a: a.pop("path/held"), "lacks arrays"),
    ],
)
def test_a_spoilt_state_is_refused(spoil: Any, told: str) -> None:
    arrays = stream().start().to_arrays()
    spoil(arrays)
    with pytest.raises(TensorMismatch, match=told):
        stream().resume(arrays)


@pytest.mark.parametrize(
    "other",
    [{"rate_hz": 360}, {"leads": ("V1",)}, {"answer": "one_beat_late"}, {"mains_hz": 50},
     {"full_scale_mv": 5.0}],
)  # fmt: skip
def test_a_state_of_another_stream_is_refused(other: dict[str, Any]) -> None:
    state = stream(**other).start()
    with pytest.raises(TensorMismatch, match="another stream"):
        stream().step(state, np.zeros((1, 1)))
    with pytest.raises(TensorMismatch, match="another stream"):
        stream().resume(state.to_arrays())


# --- the end, and gaps ---


def test_the_end_of_a_recording_tells_what_was_pending() -> None:
    made, mv = stream(), ecg(250, 20)
    last = true_beats(250, 20)[-1]
    state, events = feed(made, [mv[: last + 20]])
    assert all(event.sample < last - 20 for event in events if isinstance(event, Beat))
    found = made.finish(state)
    assert [event.sample for event in found] == [pytest.approx(last, abs=5)]
    assert found[0].certain_at <= last + 19
    late = stream(answer="one_beat_late")
    state, events = feed(late, [mv[: last + 20]])
    beats = [e.sample for e in (*events, *late.finish(state)) if isinstance(e, Beat)]
    both, events = feed(made, [mv[: last + 20]])
    assert beats == [e.sample for e in (*events, *made.finish(both)) if isinstance(e, Beat)]


def test_finishing_changes_nothing_and_needs_nothing() -> None:
    made = stream()
    assert made.finish(made.start()) == []
    state, _ = feed(made, [ecg(250, 10)])
    assert made.finish(state) == made.finish(state)


def test_no_interval_reaches_across_a_gap() -> None:
    made, mv = stream(), ecg(250, 20)
    _, events = feed(made, [Samples(mv[:1500], 0), Samples(mv[2000:], 2000)])
    gap = next(event for event in events if isinstance(event, Gap))
    behind = [event for event in events if isinstance(event, Beat) and event.sample > gap.index]
    assert behind[0].rr_s is None
    assert all(beat.rr_s is not None for beat in behind[1:])
    changes = [event for event in events if isinstance(event, Judging)]
    assert [change.change for change in changes] == ["begins", "ends", "begins"]
    assert changes[1].sample < 1500
    # Nothing is told of the time in which filters and network warm up.
    quiet = made.info.warmup_s * 250
    assert behind[0].sample > 2000 + quiet - made.info.latency_s * 250


def test_samples_that_have_passed_are_refused_and_the_state_stays_good() -> None:
    made, mv = stream(), ecg()
    state, _ = feed(made, [Samples(mv[:1000], 0)])
    with pytest.raises(OutOfOrder):
        made.step(state, Samples(mv[:10], 500))
    _, events = made.step(state, Samples(mv[1000:], 1000))
    assert any(isinstance(event, Beat) for event in events)
