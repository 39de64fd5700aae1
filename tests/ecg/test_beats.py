"""The beat classifier's features: causal, explicit state, total; and the rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_dx.ecg.beats import (
    AFTER,
    BEFORE,
    FEATURES,
    WINDOW,
    BeatFeatures,
    BeatRule,
    ReadyBeat,
    log_probabilities,
)
from edge_dx.ecg.beats.features import LONGEST, Arrays, When

RATE_HZ = 250
ANSWERS: tuple[When, ...] = ("at_once", "one_beat_late")


def beat_shape(kind: str) -> NDArray[np.float64]:
    """One beat, 250 rows, R at row 100."""
    t = (np.arange(250) - 100) / RATE_HZ

    def hill(height: float, at: float, width: float) -> NDArray[np.float64]:
        return np.asarray(height * np.exp(-0.5 * ((t - at) / width) ** 2))

    if kind == "V":
        return np.asarray(hill(-1.5, 0.0, 0.04) + hill(0.7, 0.12, 0.05))
    return hill(0.12, -0.16, 0.02) + hill(1.0, 0.0, 0.012) + hill(0.25, 0.25, 0.04)


def recording(
    kinds: str, rr_s: list[float], leads: int = 1
) -> tuple[NDArray[np.float32], list[int]]:
    """Rows (leads, n) and R peaks of beats with these shapes and intervals."""
    peaks = (500 + np.cumsum([round(v * RATE_HZ) for v in rr_s])).tolist()
    rows = np.zeros(peaks[-1] + 500)
    for peak, kind in zip(peaks, kinds, strict=True):
        rows[peak - 100 : peak + 150] += beat_shape(kind)
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.005, (leads, len(rows)))
    return ((1 - 1.6 * np.arange(leads))[:, None] * rows + noise).astype(np.float32), peaks


def follow(
    answer: When, rows: NDArray[np.float32], peaks: list[int], state: Arrays | None = None
) -> tuple[Arrays, list[ReadyBeat]]:
    features = BeatFeatures(answer)
    state = features.start(len(rows)) if state is None else state
    found: list[ReadyBeat] = []
    for peak in peaks:
        state, ready = features.step(state, peak, rows[:, peak - BEFORE : peak + AFTER + 1])
        found += ready
    return state, found


def told(beat: ReadyBeat, name: str, lead: int = 0) -> float:
    return float(beat.features[lead, FEATURES.index(name)])


def test_an_early_beat_and_its_pause() -> None:
    kinds = "N" * 20
    rr = [0.8] * 15 + [0.5, 1.1] + [0.8] * 3
    rows, peaks = recording(kinds, rr)
    _, ready = follow("one_beat_late", rows, peaks)
    early = next(beat for beat in ready if beat.row == peaks[15])
    assert early.rr_s == pytest.approx(0.5, abs=0.01)
    assert told(early, "rr_to_median_32") == pytest.approx(np.log(0.5 / 0.8), abs=0.02)
    assert told(early, "post_to_rr") == pytest.approx(np.log(1.1 / 0.5), abs=0.02)
    assert told(early, "pair_to_median_32") == pytest.approx(0.0, abs=0.02)
    assert told(early, "qrs_like") > 0.95


def test_a_ventricular_beat_is_unlike_and_does_not_become_the_rule() -> None:
    kinds = "NNNNNNNN" + "NV" * 20
    rows, peaks = recording(kinds, [0.8] * 8 + [1.0, 0.5] * 20)
    _, ready = follow("at_once", rows, peaks)
    own = {kind: [told(b, "qrs_like") for b, k in zip(ready, kinds, strict=True) if k == kind][8:]
           for kind in "NV"}  # fmt: skip
    assert min(own["N"]) > 0.9
    assert max(own["V"]) < 0.5
    # The pause behind a ventricular beat is no sinus interval: the pace is still that of before.
    assert told(ready[-2], "median_32") == pytest.approx(0.0, abs=0.02)


def test_a_window_shows_the_beat_and_the_shape_at_the_same_place() -> None:
    rows, peaks = recording("N" * 12, [0.8] * 12)
    moved = [peak + 2 * (-1) ** k for k, peak in enumerate(peaks)]  # a detector that trembles
    _, ready = follow("at_once", rows, moved)
    window = ready[-1].window[0]
    assert window.shape == (2, WINDOW)
    assert abs(int(window[0].argmax()) - int(window[1].argmax())) <= 1
    assert np.corrcoef(window[0], window[1])[0, 1] > 0.98


@pytest.mark.parametrize("answer", ANSWERS)
def test_gain_and_polarity_change_no_window_but_its_sign(answer: When) -> None:
    rows, peaks = recording("NNNNVNNNNN", [0.8] * 10)
    ready = follow(answer, rows, peaks)[1]
    turned = follow(answer, -3 * rows, peaks)[1]
    for one, other in zip(ready[2:], turned[2:], strict=True):
        np.testing.assert_allclose(one.window, -other.window, atol=0.05)


@settings(max_examples=25, deadline=None)
@given(
    rr=st.lists(st.floats(0.25, 2.5), min_size=4, max_size=24),
    kinds=st.data(),
    cut=st.integers(1, 20),
)
def test_later_beats_change_nothing(rr: list[float], kinds: st.DataObject, cut: int) -> None:
    word = kinds.draw(st.text("NV", min_size=len(rr), max_size=len(rr)))
    rows, peaks = recording(word, rr, leads=2)
    cut = min(cut, len(peaks) - 1)
    other = rows.copy()
    other[:, peaks[cut - 1] + AFTER + 1 :] = 7.0
    for answer, lag in zip(ANSWERS, (0, 1), strict=True):
        every = follow(answer, rows, peaks)[1]
        part = follow(answer, other, peaks[:cut])[1]
        assert len(part) == cut - lag
        for one, two in zip(every, part, strict=False):
            assert one.row == two.row
            np.testing.assert_array_equal(one.window, two.window)
            np.testing.assert_array_equal(one.features, two.features)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_odd_input_gives_numbers_and_the_same_shapes(data: st.DataObject) -> None:
    leads = data.draw(st.integers(1, 3))
    answer = data.draw(st.sampled_from(ANSWERS))
    features = BeatFeatures(answer)
    state = features.start(leads)
    first = {name: (a.shape, a.dtype) for name, a in state.items()}
    row = 0
    for _ in range(data.draw(st.integers(1, 12))):
        row += data.draw(st.integers(1, 3000))
        kind = data.draw(st.sampled_from(("flat", "jump", "huge", "noise", "tiny")))
        random = np.random.default_rng(row)
        around = {
            "flat": np.zeros((leads, BEFORE + AFTER + 1)),
            "jump": np.full((leads, BEFORE + AFTER + 1), 10.0) * (random.random() < 0.5),
            "huge": np.tile([10.0, -10.0, 10.0], (leads, 45)),
            "noise": random.normal(0, 1, (leads, BEFORE + AFTER + 1)),
            "tiny": random.normal(0, 1e-12, (leads, BEFORE + AFTER + 1)),
        }[kind].astype(np.float32)
        before = {name: a.copy() for name, a in state.items()}
        new, ready = features.step(state, row, around)
        for name, array in before.items():
            np.testing.assert_array_equal(array, state[name])  # never written in place
        state, more = features.due(new, row + data.draw(st.integers(0, 2 * LONGEST)))
        if data.draw(st.booleans()):
            state, last = features.reset(state)
            more += last
        for beat in ready + more:
            assert beat.window.shape == (leads, 2, WINDOW)
            assert beat.window.dtype == np.float32
            assert beat.features.shape == (leads, len(FEATURES))
            assert np.isfinite(beat.window).all()
            assert np.isfinite(beat.features).all()
        assert {name: (a.shape, a.dtype) for name, a in state.items()} == first


def test_no_interval_reaches_across_a_gap_but_shapes_stay() -> None:
    rows, peaks = recording("N" * 20, [0.8] * 20)
    features = BeatFeatures("one_beat_late")
    state, ready = follow("one_beat_late", rows, peaks[:10])
    assert len(ready) == 9
    state, waited = features.reset(state)
    assert [beat.row for beat in waited] == [peaks[9]]
    assert told(waited[0], "post_known") == 0
    assert features.reset(state)[1] == []
    state, ready = follow("one_beat_late", rows, peaks[12:], state)
    assert np.isnan(ready[0].rr_s)
    assert told(ready[0], "rr_known") == 0
    assert told(ready[0], "qrs_like") > 0.95
    assert told(ready[1], "rr_to_median_32") == 0  # of history there is none yet


def test_a_pause_ends_the_waiting() -> None:
    rows, peaks = recording("N" * 6, [0.8] * 6)
    features = BeatFeatures("one_beat_late")
    state, _ = follow("one_beat_late", rows, peaks)
    same, ready = features.due(state, peaks[-1] + LONGEST - 1)
    assert same is state
    assert ready == []
    state, ready = features.due(state, peaks[-1] + LONGEST)
    assert [beat.row for beat in ready] == [peaks[-1]]
    assert told(ready[0], "post_to_rr") == pytest.approx(np.log(2 / 0.8), abs=0.02)
    assert features.due(state, peaks[-1] + 5 * LONGEST)[1] == []


def test_a_stream_goes_on_from_kept_arrays() -> None:
    rows, peaks = recording("NNVNNNVNNN", [0.8] * 10, leads=2)
    whole = follow("one_beat_late", rows, peaks)[1]
    state, first = follow("one_beat_late", rows, peaks[:5])
    again = {name: np.array(array.tolist(), array.dtype).reshape(array.shape)
             for name, array in state.items()}  # fmt: skip
    rest = follow("one_beat_late", rows, peaks[5:], again)[1]
    for one, two in zip(whole, first + rest, strict=True):
        np.testing.assert_array_equal(one.features, two.features)


def test_no_such_answer() -> None:
    with pytest.raises(ValueError, match="at_once"):
        BeatFeatures("soon")  # type: ignore[arg-type]


def test_the_rule_asks_v_first_and_makes_up_no_class() -> None:
    rule = BeatRule({"V": 0.4, "S": 0.3})

    def ask(*p: float) -> tuple[str, float]:
        label, probability = rule(np.log(np.array(p)))
        return label, round(probability, 6)

    assert ask(0.1, 0.45, 0.42, 0.02, 0.01) == ("V", 0.42)
    assert ask(0.5, 0.35, 0.1, 0.03, 0.02) == ("S", 0.35)
    assert ask(0.05, 0.1, 0.1, 0.7, 0.05) == ("N", 0.05)
    with pytest.raises(ValueError, match="threshold"):
        BeatRule({"N": 0.5})
    with pytest.raises(ValueError, match="threshold"):
        BeatRule({"V": 0.0})


def test_leads_are_fused_and_those_without_signal_do_not_vote() -> None:
    logits = np.array([[2, 0, 0, 0, 0], [0, 0, 4, 0, 0]], np.float32)
    alone = log_probabilities(logits, np.array([True, False]))
    np.testing.assert_allclose(alone, log_probabilities(logits[:1]))
    both = log_probabilities(logits)
    assert np.exp(both).sum() == pytest.approx(1.0)
    assert int(both.argmax()) == 2
    np.testing.assert_allclose(log_probabilities(logits, np.array([False, False])), both)


def test_many_streams_at_once_are_each_alone() -> None:
    features = BeatFeatures("one_beat_late")
    alone, several = [], []
    made = []
    for number in range(5):
        leads = 1 + number % 3
        kinds = "NNVNNNNVVN"[number:] + "NNVNNNNVVN"[:number]
        made.append(recording(kinds, [0.6 + 0.1 * number] * 10, leads))
        alone.append(follow("one_beat_late", *made[-1])[1])
        several.append(features.start(leads))
    told: list[list[ReadyBeat]] = [[] for _ in made]
    for beat in range(10):
        peaks = [own[1][beat] for own in made]
        around = [own[0][:, p - BEFORE : p + AFTER + 1] for own, p in zip(made, peaks, strict=True)]
        several, ready = features.step_many(several, peaks, around)
        for stream, own in enumerate(ready):
            told[stream] += own
    for one, other in zip(alone, told, strict=True):
        assert len(one) == len(other) == 9
        for a, b in zip(one, other, strict=True):
            assert a.row == b.row
            np.testing.assert_array_equal(a.window, b.window)
            np.testing.assert_array_equal(a.features, b.features)
    assert features.step_many([], [], []) == ([], [])


def test_a_lead_without_signal_learns_nothing() -> None:
    rows, peaks = recording("N" * 10, [0.8] * 10, leads=2)
    features = BeatFeatures()
    state, _ = follow("at_once", rows, peaks[:8])
    around = rows[:, peaks[8] - BEFORE : peaks[8] + AFTER + 1].copy()
    around[1] = 5.0
    new, _ = features.step(state, peaks[8], around, np.array([True, False]))
    for name in ("shapes", "weights", "seen", "dominant", "last", "usual"):
        np.testing.assert_array_equal(new[name][1], state[name][1])
        assert new[name].dtype == state[name].dtype
    assert new["seen"][0].max() == state["seen"][0].max() + 1
