"""Beat by beat, on cases small enough to be worked out by hand from the documentation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.ec57 import LABELS, MAPPINGS
from edge_dx.ec57.match import Match, in_samples, match
from edge_dx.ec57.track import track
from edge_dx.wfdb import Annotation

RATE = 250
START = 75_000  # five minutes
WINDOW = 37


def items(*told: str) -> list[Annotation]:
    """`N96` is a normal beat at sample 96 of the test period, `~+100` a shutdown, `~-` its end."""
    found = []
    for each in told:
        symbol, rest = each[0], each[1:]
        subtype = 0x30 if rest.startswith("+") else 0
        found.append(Annotation(START + int(rest.lstrip("+=")), symbol, subtype))
    return found


def of(reference: list[Annotation], test: list[Annotation], *, end: int | None = START + 100_000,
       start: int = START, mapping: str = "bxb-S") -> Match:  # fmt: skip
    tracks = [track(each, MAPPINGS[mapping], WINDOW) for each in (reference, test)]
    return match(*tracks, start=start, end=end, window=WINDOW)


def cells(found: Match) -> dict[str, int]:
    return {LABELS[row] + LABELS[column].lower(): int(found.matrix[row, column])
            for row, column in zip(*np.nonzero(found.matrix), strict=True)}  # fmt: skip


def test_the_pairing_case_of_2002() -> None:
    # ref 96, 160 and test 128, 185: before the amendment No 1, On 1, Nn 1.
    found = of(items("N96", "N160"), items("N128", "N185"))
    assert cells(found) == {"Nn": 2}
    assert [(p.reference, p.test) for p in found.pairs] == [
        (START + 96, START + 128), (START + 160, START + 185)]  # fmt: skip


def test_the_same_with_the_roles_exchanged() -> None:
    assert cells(of(items("N128", "V185"), items("N96", "V160"))) == {"Nn": 1, "Vv": 1}


@pytest.mark.parametrize(("distance", "expected"), [
    (0, {"Nn": 1}), (37, {"Nn": 1}), (-37, {"Nn": 1}),
    (38, {"No": 1, "On": 1}), (-38, {"No": 1, "On": 1}),
])  # fmt: skip
def test_the_window_belongs_to_itself(distance: int, expected: dict[str, int]) -> None:
    assert cells(of(items("N1000"), items(f"N{1000 + distance}"))) == expected


def test_the_nearer_of_two_gets_the_partner() -> None:
    assert cells(of(items("N1000"), items("V980", "N1005"))) == {"Nn": 1, "Ov": 1}
    assert cells(of(items("V980", "N1005"), items("N1000"))) == {"Nn": 1, "Vo": 1}


@pytest.mark.parametrize(("symbol", "label"), [
    ("N", "N"), ("L", "N"), ("R", "N"), ("B", "N"), ("A", "S"), ("a", "S"), ("J", "S"),
    ("S", "S"), ("e", "S"), ("j", "S"), ("n", "S"), ("V", "V"), ("r", "V"), ("E", "V"),
    ("F", "F"), ("/", "Q"), ("f", "Q"), ("Q", "Q"), ("?", "Q"),
])  # fmt: skip
def test_symbols_have_their_class(symbol: str, label: str) -> None:
    beats = items(f"{symbol}1000")
    assert cells(of(beats, beats)) == {label + label.lower(): 1}


def test_escape_beats_are_normal_under_the_other_mapping() -> None:
    beats = items("e1000", "j2000", "n3000", "A4000")
    assert cells(of(beats, beats, mapping="ej-normal")) == {"Nn": 2, "Ss": 2}
    assert cells(of(beats, beats, mapping="bxb-s")) == {"Nn": 4}


def test_beats_missed_in_shutdown_are_x() -> None:
    reference = items("N1000", "V1200", "N1400", "N1600")
    test = items("N1000", "~+1100", "~=1500", "N1600")
    assert cells(of(reference, test)) == {"Nn": 2, "Vx": 1, "Nx": 1}
    # Beats that the reference could not see.
    assert cells(of(test, reference)) == {"Nn": 2, "Xv": 1, "Xn": 1}


def test_a_shutdown_without_end_lasts() -> None:
    assert cells(of(items("N1000", "N2000"), items("N1000", "~+1100"))) == {"Nn": 1, "Nx": 1}


def test_a_single_shutdown_reaches_to_the_window_of_its_neighbours() -> None:
    # As in the AHA database: from 1000 + 37 to 2000 - 37.
    reference = items("N1000", "N1040", "N1037", "N1963", "N1970", "N2000")
    reference.sort(key=lambda item: item.sample)
    test = items("N1000", "~+1500", "N2000")
    assert cells(of(reference, test)) == {"Nn": 2, "Nx": 3, "No": 1}


def test_beats_within_fibrillation_are_not_counted() -> None:
    reference = items("N1000", "[1100", "!1200", "!1300", "]1400", "N1500")
    test = items("N1000", "N1150", "V1250", "N1500", "V1600")
    assert cells(of(reference, test)) == {"Nn": 2, "Ov": 1}
    # The other way round the reference's beats in the test's fibrillation were missed.
    assert cells(of(test, reference)) == {"Nn": 2, "No": 1, "Vo": 2}


def test_learning_is_left_out() -> None:
    reference = items("N-500", "V1000")
    assert cells(of(reference, items("V-500", "V1000"))) == {"Vv": 1}


def test_a_pair_may_cross_the_border_of_the_test_period() -> None:
    assert cells(of(items("N10", "N500"), items("N-10", "N500"))) == {"Nn": 2}
    # The reference beat is before the border, so its partner is nobody's.
    assert cells(of(items("N-10", "N500"), items("N10", "N500"))) == {"Nn": 1}


def test_without_a_known_end_the_reference_ends_it() -> None:
    reference, test = items("N1000"), items("N1000", "N2000")
    assert cells(of(reference, test, end=None)) == {"Nn": 1}
    assert cells(of(reference, test)) == {"Nn": 1, "On": 1}


def test_a_flutter_wave_alone_is_no_beat_but_may_be_taken_for_one() -> None:
    assert cells(of(items("N1000"), items("!1000"))) == {"No": 1}
    assert cells(of(items("!1000"), items("N1000"))) == {"On": 1}
    assert cells(of(items("N500"), items("N500", "!1000"))) == {"Nn": 1}


def test_heart_periods_are_compared() -> None:
    reference = items("N1000", "N1250", "N1500", "N1750")
    test = items("N1000", "N1255", "N1500", "N1750")
    found = of(reference, test, start=START)
    # 1000 is the first beat: no period. Then errors of 5, 5 and 0 samples.
    assert found.rr.tolist() == [[50.0, 3.0], [50.0, 3.0]]
    missed = of(reference, items("N1000", "N1500", "N1750"))
    # bxb measures at each step: at 1250 the fingers stand on 250 and 500, at 1500 likewise.
    assert missed.rr.tolist() == [[250.0**2 * 2, 3.0], [0.0, 1.0]]


def test_no_period_spans_a_shutdown() -> None:
    reference = items("N1000", "~+1050", "~=1150", "N1250", "N1500")
    assert of(reference, items("N1000", "N1250", "N1500")).rr[0].tolist() == [0.0, 1.0]


def test_empty_rows_are_fine() -> None:
    assert cells(of([], [])) == {}
    assert cells(of(items("N1000"), [])) == {"No": 1}
    assert cells(of([], items("N1000"))) == {"On": 1}


def test_150_ms_are_rounded_as_the_library_does() -> None:
    assert [in_samples(0.15, rate) for rate in (128, 250, 257, 360, 500)] == [19, 38, 39, 54, 75]


beats = st.lists(st.tuples(st.integers(START, START + 5000), st.sampled_from("NAVFQ!")),
                 max_size=40, unique_by=lambda beat: beat[0])  # fmt: skip


@given(beats, beats)
def test_every_beat_is_counted_once(
    reference: list[tuple[int, str]], test: list[tuple[int, str]]
) -> None:
    rows = [[Annotation(*beat) for beat in sorted(each)] for each in (reference, test)]
    found = of(*rows, start=0)
    assert sorted(p.reference for p in found.pairs if p.reference is not None) == sorted(
        beat[0] for beat in reference)  # fmt: skip
    assert sorted(p.test for p in found.pairs if p.test is not None) == sorted(
        beat[0] for beat in test)  # fmt: skip
    for pair in found.pairs:
        if pair.reference is not None and pair.test is not None:
            assert abs(pair.reference - pair.test) <= WINDOW


@given(beats)
def test_against_itself_all_is_right(told: list[tuple[int, str]]) -> None:
    row = [Annotation(*beat) for beat in sorted(told)]
    found = of(row, row, start=0)
    assert found.matrix.sum() == np.trace(found.matrix)
    assert found.rr[:, 0].tolist() == [0.0, 0.0]
