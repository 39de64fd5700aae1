"""Alarms: each rule at its limit, nothing across a break, however beats are handed over."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.ecg.alarms import AlarmRules, Alarms
from edge_dx.ecg.events import Alarm, Beat

RATE = 250
ALARMS = Alarms(Fraction(RATE))


def beats_of(labels: str, rr_s: float | list[float] = 0.8, first: int = 0) -> list[Beat]:
    apart = [rr_s] * len(labels) if isinstance(rr_s, float) else rr_s
    at = first + np.round(np.concatenate([[0], np.cumsum(apart[1:])]) * RATE).astype(int)
    return [Beat(int(s), int(s) + 100, label, 0.9)  # type: ignore[arg-type]
            for s, label in zip(at, labels, strict=True)]  # fmt: skip


def told(beats: list[Beat], end: int | None = None, first: int = 0) -> list[Alarm]:
    state = ALARMS.begin(ALARMS.start(), first)
    found: list[Alarm] = []
    for beat in beats:
        state, alarms = ALARMS.step(state, [beat], beat.sample, beat.certain_at)
        found += alarms
    if end is not None:
        state, alarms = ALARMS.step(state, [], end, end + 100)
        found += alarms
    return found


def kinds(alarms: list[Alarm]) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.change) for alarm in alarms]


def test_a_pause_is_told_while_it_lasts_and_ends_with_the_next_beat() -> None:
    state = ALARMS.begin(ALARMS.start(), 0)
    beats = beats_of("NNN")
    for beat in beats:
        state, alarms = ALARMS.step(state, [beat], beat.sample, beat.certain_at)
        assert not alarms
    last = beats[-1].sample
    assert ALARMS.due(state) == last + 3 * RATE + 1
    assert not ALARMS.step(state, [], last + 3 * RATE, last + 900)[1]
    state, (begun,) = ALARMS.step(state, [], last + 3 * RATE + 1, last + 901)
    assert (begun.kind, begun.change, begun.sample) == ("asystole", "begins", last)
    assert begun.value == pytest.approx(3.004)
    assert begun.unit == "s"
    assert not ALARMS.step(state, [], last + 5 * RATE, last + 2000)[1]  # once is enough
    back = Beat(last + 1500, last + 1600, "N", 0.9)
    state, alarms = ALARMS.step(state, [back], back.sample, back.certain_at)
    assert kinds(alarms) == [("asystole", "ends")]
    assert alarms[0].value == 6.0


def test_no_beat_at_all_is_asystole_too_where_the_signal_is_judged() -> None:
    assert kinds(told([], end=4 * RATE)) == [("asystole", "begins")]


def test_nothing_is_asystole_where_nothing_is_judged() -> None:
    state = ALARMS.start()
    assert ALARMS.step(state, [], 100 * RATE, 101 * RATE)[1] == []
    state = ALARMS.begin(state, 0)
    state, alarms = ALARMS.broken(state, 5)
    assert not alarms
    assert ALARMS.step(state, [], 100 * RATE, 101 * RATE)[1] == []


@pytest.mark.parametrize(
    ("labels", "rr_s", "expected"),
    [
        ("NNVVN", 0.5, ["couplet"]),
        ("NVVVN", 0.55, ["ventricular_tachycardia"] * 2),
        ("NVVVN", 0.65, []),  # an accelerated idioventricular rhythm is none
        ("NVVVVVVVVN", 0.3, ["ventricular_tachycardia"] * 2),
        ("NNVNNVNN", 0.7, []),
        ("NVNVNVN", 0.7, ["bigeminy"]),
        ("NVNVNVNNN", 0.7, ["bigeminy"] * 2),
        ("NVNVNN", 0.7, []),
        ("N" * 6, 1.6, ["bradycardia"]),
        ("N" * 5, 1.6, []),
        ("N" * 6, 1.5, []),  # 40 per minute is not below 40
        ("N" * 18, 0.4, ["tachycardia"]),
        ("N" * 17, 0.4, []),
    ],
)
def test_each_rule_at_its_limit(labels: str, rr_s: float, expected: list[str]) -> None:
    assert [kind for kind, _ in kinds(told(beats_of(labels, rr_s)))] == expected


def test_a_slow_stretch_ends_with_five_beats_on_the_other_side() -> None:
    rr = [1.7] * 7 + [0.9] * 6
    assert kinds(told(beats_of("N" * 13, rr))) == [
        ("bradycardia", "begins"), ("bradycardia", "ends"),
    ]  # fmt: skip


def test_a_run_is_dated_back_to_its_first_beat() -> None:
    beats = beats_of("NNVVVVN", 0.4)
    begun, ended = told(beats)
    assert begun.sample == beats[2].sample
    assert begun.certain_at == beats[4].certain_at
    assert begun.value == pytest.approx(150.0)
    assert ended.sample == beats[6].sample


def test_a_break_ends_what_runs_and_no_rule_looks_across_it() -> None:
    state = ALARMS.begin(ALARMS.start(), 0)
    beats = beats_of("NVVV", 0.4)
    for beat in beats:
        state, _ = ALARMS.step(state, [beat], beat.sample, beat.certain_at)
    state, alarms = ALARMS.broken(state, beats[-1].certain_at + 50)
    assert kinds(alarms) == [("ventricular_tachycardia", "ends")]
    state = ALARMS.begin(state, 5000)
    for beat in beats_of("VV", 0.4, first=5100):
        state, alarms = ALARMS.step(state, [beat], beat.sample, beat.certain_at)
        assert not alarms


def test_asystole_that_a_break_ends_lasts_as_long_as_it_was_known() -> None:
    state = ALARMS.begin(ALARMS.start(), 0)
    for beat in beats_of("NNN"):
        state, _ = ALARMS.step(state, [beat], beat.sample, beat.certain_at)
    last = beat.sample
    assert ALARMS.due(state) > last
    for quiet in range(last + 100, last + 1400, 100):
        state, _ = ALARMS.step(state, [], quiet, quiet + 100)
    assert ALARMS.due(state) == 0  # each further hop makes the quiet longer
    assert int(state["quiet"]) == last + 1300
    _, (ended,) = ALARMS.broken(state, last + 1450)
    assert (ended.kind, ended.change, ended.sample) == ("asystole", "ends", last + 1300)
    assert ended.value == pytest.approx(5.2)


def test_a_fast_stretch_dates_from_the_first_beat_that_counted() -> None:
    beats = beats_of("N" * 24, [0.8] * 4 + [0.4] * 20)
    (begun,) = told(beats)
    assert (begun.kind, begun.sample) == ("tachycardia", beats[4].sample)
    assert begun.certain_at == beats[20].certain_at


def test_a_slow_stretch_dates_from_the_first_beat_that_counted() -> None:
    beats = beats_of("N" * 9, [0.8] * 3 + [1.6] * 6)
    (begun,) = told(beats)
    assert (begun.kind, begun.sample) == ("bradycardia", beats[3].sample)


def test_of_a_run_that_begins_slowly_tachycardia_is_what_is_fast() -> None:
    beats = beats_of("NVVVVVVN", [0.8, 0.8, 0.7, 0.7, 0.7, 0.4, 0.4, 0.8])
    begun, ended = told(beats)
    assert begun.sample == beats[3].sample  # with the next two 109 per minute
    assert begun.value == pytest.approx(2 * 60 / 1.1)
    assert ended.sample == beats[7].sample


@pytest.mark.parametrize(("slow", "other"), [(1.7, 0.4), (0.4, 1.7)])
def test_beats_that_are_now_fast_and_now_neither_end_a_slow_stretch(
    slow: float, other: float
) -> None:
    running, kind = (8, "bradycardia") if slow > 1 else (18, "tachycardia")
    rr = [slow] * running + [0.8, other, 0.8, other, 0.8]
    assert kinds(told(beats_of("N" * len(rr), rr))) == [(kind, "begins"), (kind, "ends")]


def test_two_v_at_the_opening_are_no_couplet_for_what_was_before_is_not_known() -> None:
    assert told(beats_of("VVNN", 0.8)) == []
    assert kinds(told(beats_of("NVVN", 0.8))) == [("couplet", "begins")]
    assert told(beats_of("NVVVN", 0.8)) == []


@pytest.mark.parametrize("run", [2, 9, 12])
@pytest.mark.parametrize("pairs", [1, 4, 6])
def test_rules_may_ask_for_longer_rows(run: int, pairs: int) -> None:
    alarms = Alarms(Fraction(RATE), AlarmRules(ventricular_run=run, bigeminy_pairs=pairs))
    state = alarms.begin(alarms.start(), 0)
    beats = beats_of("N" + "NV" * pairs + "N" + "V" * run, 0.4)
    found: list[Alarm] = []
    for beat in beats:
        state, told_now = alarms.step(state, [beat], beat.sample, beat.certain_at)
        found += told_now
    (bigeminy,) = [a for a in found if (a.kind, a.change) == ("bigeminy", "begins")]
    assert bigeminy.sample == beats[1].sample
    (fast,) = [a for a in found if a.kind == "ventricular_tachycardia"]
    assert fast.sample == beats[2 * pairs + 2].sample


@pytest.mark.parametrize(
    ("limit", "value"),
    [
        ("pause_s", 0.0), ("pause_s", float("nan")), ("ventricular_run", 1), ("slow_beats", 0),
        ("bigeminy_pairs", 0), ("settled_beats", 10**6), ("fast_per_min", float("inf")),
        ("fast_per_min", 40.0), ("slow_per_min", -1.0),
    ],
)  # fmt: skip
def test_limits_that_cannot_be_meant_are_refused_by_name(limit: str, value: float) -> None:
    with pytest.raises(ValueError, match=limit):
        AlarmRules(**{limit: value})  # type: ignore[arg-type]


@given(
    labels=st.text("NSVFQ", min_size=1, max_size=40),
    data=st.data(),
)
def test_alarms_come_in_pairs_and_do_not_depend_on_how_beats_are_handed_over(
    labels: str, data: st.DataObject
) -> None:
    rr = data.draw(st.lists(st.floats(0.25, 5.0), min_size=len(labels), max_size=len(labels)))
    beats = beats_of(labels, rr)
    single = told(beats)
    state, together = ALARMS.begin(ALARMS.start(), 0), list[Alarm]()
    state, together = ALARMS.step(state, beats, beats[-1].sample, beats[-1].certain_at)
    # A pause that a later beat of the same call ends is told with that beat alone.
    loud = [a for a in single if a.kind != "asystole"]
    assert [(a.kind, a.change, a.sample) for a in together if a.kind != "asystole"] == [
        (a.kind, a.change, a.sample) for a in loud
    ]
    state, ends = ALARMS.broken(state, beats[-1].certain_at)
    running: set[str] = set()
    for alarm in [*together, *ends]:
        assert alarm.sample <= alarm.certain_at
        if alarm.kind == "couplet":
            continue
        if alarm.change == "begins":
            assert alarm.kind not in running
            running.add(alarm.kind)
        else:
            running.remove(alarm.kind)
    assert not running


def test_the_state_keeps_its_shape() -> None:
    state = ALARMS.begin(ALARMS.start(), 0)
    form = {name: (array.shape, array.dtype) for name, array in ALARMS.start().items()}
    for beat in beats_of("NVVVNVNVNVSFQ", 0.4):
        state, _ = ALARMS.step(state, [beat], beat.sample, beat.certain_at)
        assert {name: (array.shape, array.dtype) for name, array in state.items()} == form
