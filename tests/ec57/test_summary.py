"""Figures from counts, gross and average, intervals over patients, text and JSON, marks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge_dx import ec57
from edge_dx.ec57.figures import figures_for
from edge_dx.ec57.tally import PARTS
from edge_dx.wfdb import Annotation, Annotations

PROTOCOL = ec57.Protocol(ec57.MAPPINGS["bxb-S"])
RATE = 250
START = 75_000


def tally_of(matrix: list[list[int]], record: str = "r", patient: str | None = None) -> ec57.Tally:
    """A tally with nothing but a matrix."""
    empty = ec57.compare(Annotations(()), Annotations(()), PROTOCOL, rate_hz=RATE,
                         samples=START + 1000, record=record, patient=patient)  # fmt: skip
    counts = {name: np.zeros(shape) for name, shape in PARTS.items()}
    counts["beats"] = np.array(matrix, float)
    return ec57.Tally(record, empty.patient, RATE, empty.matched, counts)


#          n    s    v    f    q    o    x
MATRIX = [[100, 2, 3, 1, 4, 5, 6],
          [7, 20, 1, 0, 1, 2, 3],
          [4, 1, 30, 2, 1, 3, 2],
          [1, 1, 2, 8, 0, 1, 0],
          [1, 0, 1, 0, 5, 1, 1],
          [6, 1, 2, 0, 1, 0, 0],
          [3, 1, 1, 0, 0, 0, 0]]  # fmt: skip


@pytest.mark.parametrize(("figure", "above", "below"), [
    ("qrs_sensitivity", 196, 196 + 24),
    ("qrs_positive_predictivity", 196, 196 + 15),
    ("veb_sensitivity", 30, 43),  # V row
    ("veb_positive_predictivity", 30, 30 + 3 + 1 + 2 + 1),  # not Fv and Qv
    ("veb_false_positive_rate", 7, 7 + (107 + 28 + 10 + 6 + 8 + 4)),
    ("sveb_sensitivity", 20, 34),
    ("sveb_positive_predictivity", 20, 20 + 2 + 1 + 1 + 1 + 1),  # not Qs
    ("sveb_false_positive_rate", 6, 6 + (108 + 37 + 11 + 7 + 9 + 4)),
    ("missed_in_shutdown", 12, 220),
    ("n_missed_in_shutdown", 6, 121),
    ("s_missed_in_shutdown", 3, 34),
    ("v_missed_in_shutdown", 2, 43),
    ("f_missed_in_shutdown", 0, 13),
])  # fmt: skip
def test_figures_are_those_of_bxb(figure: str, above: int, below: int) -> None:
    value = ec57.evaluate([tally_of(MATRIX)], PROTOCOL).gross[figure]
    assert (value.above, value.below) == (above, below)
    assert value.value == pytest.approx(above / below)
    assert value.mapping == "bxb-S"


def empty_matrix() -> list[list[int]]:
    return [[0] * 7 for _ in range(7)]


def detector(found: int, missed: int, record: str, patient: str | None = None) -> ec57.Tally:
    matrix = empty_matrix()
    matrix[0][0], matrix[0][5] = found, missed
    return tally_of(matrix, record, patient)


def test_gross_pools_and_average_does_not() -> None:
    found = ec57.evaluate([detector(900, 100, "a"), detector(50, 50, "b")], PROTOCOL)
    assert found.gross["qrs_sensitivity"].value == pytest.approx(950 / 1100)
    assert found.average["qrs_sensitivity"].value == pytest.approx((0.9 + 0.5) / 2)
    assert found.gross["veb_sensitivity"].value is None


def test_intervals_are_over_patients() -> None:
    # One patient with four records: whoever draws records would find a narrower interval.
    records = [detector(90, 10, f"a{k}", "a") for k in range(4)] + [detector(50, 50, "b")]
    found = ec57.evaluate(records, PROTOCOL).gross["qrs_sensitivity"]
    assert (found.low, found.high) == (0.5, 0.9)
    assert (found.n, found.patients) == (5, 2)
    alone = ec57.evaluate(records[:4], PROTOCOL).gross["qrs_sensitivity"]
    assert (alone.low, alone.high, alone.patients) == (None, None, 1)


def test_the_interval_is_the_same_every_time() -> None:
    records = [detector(90 + k, 10, f"r{k}") for k in range(8)]
    first, second = (ec57.evaluate(records, PROTOCOL).average for _ in range(2))
    assert first == second


def test_201_and_202_are_one_man() -> None:
    assert ec57.patients_of(["201", "202", "203"])["201"] == ec57.patients_of(["202"])["202"]
    assert ec57.patients_of(["201", "202", "mine"])["201"] == "201"


def test_no_records_is_an_error() -> None:
    with pytest.raises(ValueError, match="no records"):
        ec57.evaluate([], PROTOCOL)


def test_every_line_of_the_text_names_the_mapping() -> None:
    text = ec57.to_text(ec57.evaluate([tally_of(MATRIX, "a"), tally_of(MATRIX, "b")], PROTOCOL),
                        records=True)  # fmt: skip
    figures = [line for line in text.splitlines() if "%" in line]
    assert figures
    assert all("[bxb-S]" in line for line in figures)
    assert "(392/440, " in text


def test_departures_from_the_standard_are_told() -> None:
    protocol = ec57.Protocol(PROTOCOL.mapping, from_s=0, window_s=0.05)
    text = ec57.to_text(ec57.evaluate([tally_of(MATRIX)], protocol))
    assert "NOT AS EC57 ASKS: from 0 s" in text
    assert "window of 50 ms" in text
    assert not PROTOCOL.departures


def test_a_mapping_without_s_gives_no_figure_of_s() -> None:
    names = {figure.name for figure in figures_for(ec57.MAPPINGS["bxb-s"])}
    assert not any(name.startswith(("sve", "s_")) for name in names)
    assert "sveb_sensitivity" in {figure.name for figure in figures_for(PROTOCOL.mapping)}


def test_the_json_names_the_mapping_with_every_figure() -> None:
    found = ec57.evaluate([tally_of(MATRIX, "a"), tally_of(MATRIX, "b")], PROTOCOL)
    told = json.loads(json.dumps(ec57.to_dict(found)))
    assert told["mapping"]["name"] == "bxb-S"
    assert all(value["mapping"] == "bxb-S" for value in told["gross"].values())
    assert all(value["mapping"] == "bxb-S" for value in told["per_record"][0]["figures"].values())
    assert told["counts"]["beats"][2][2] == 60


def test_offsets_are_told() -> None:
    reference = [Annotation(START + k * 250, "N") for k in range(1, 20)]
    test = [item._replace(sample=item.sample + 5) for item in reference]
    tally = ec57.compare(Annotations(tuple(reference)), Annotations(tuple(test)), PROTOCOL,
                         rate_hz=RATE, samples=START + 6000)  # fmt: skip
    told = ec57.to_dict(ec57.evaluate([tally], PROTOCOL))
    assert told["per_record"][0]["offset_ms"] == {"p5": 20.0, "median": 20.0, "p95": 20.0}


def test_rates_are_converted() -> None:
    reference = Annotations(tuple(Annotation(108_000 + k * 360, "N") for k in range(1, 9)), 360.0)
    test = Annotations(tuple(Annotation(75_000 + k * 250, "N") for k in range(1, 9)), 250.0)
    tally = ec57.compare(reference, test, PROTOCOL, rate_hz=360, samples=120_000)
    assert tally.counts["beats"][0, 0] == 8
    assert tally.counts["beats"].sum() == 8


# --- what we found, written for others ---


def test_marks_are_read_as_they_were_meant() -> None:
    marks = ec57.annotated(
        [(START + 100, "N"), (START + 900, "V")],
        shutdowns=[(START + 200, START + 400), (START + 300, START + 500), (50, 50)],
        rhythms=[(START + 250, "(AFIB"), (START + 900, "(N")])  # fmt: skip
    assert [(item.sample - START, item.symbol, item.subtype) for item in marks] == [
        (100, "N", 0), (200, "~", 48), (500, "~", 0), (500, "+", 0), (900, "V", 0), (900, "+", 0),
    ]  # fmt: skip
    beats = tuple(Annotation(START + k, "N") for k in (100, 300, 450, 900))
    tally = ec57.compare(Annotations(beats), marks, PROTOCOL, rate_hz=RATE, samples=START + 1000)
    assert tally.counts["beats"][0].tolist() == [1, 0, 1, 0, 0, 0, 2]
    assert tally.counts["shutdown"].tolist() == [300 / RATE, 1000 / RATE]


def test_a_beat_within_a_shutdown_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="within a shutdown"):
        ec57.annotated([(300, "N")], shutdowns=[(200, 400)])
    with pytest.raises(ValueError, match="no class of beat"):
        ec57.annotated([(300, "X")])
