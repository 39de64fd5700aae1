"""Run by run and episode by episode, worked out by hand."""

from __future__ import annotations

import numpy as np

from edge_dx.ec57 import FIGURES, MAPPINGS, Protocol, Tally, compare
from edge_dx.ec57.episodes import ATRIAL, FLUTTER, VENTRICULAR, compare_episodes, episodes
from edge_dx.ec57.track import FOREVER, Interval
from edge_dx.wfdb import Annotation, Annotations

START = 75_000
PROTOCOL = Protocol(MAPPINGS["bxb-S"])


def row(symbols: str, *, at: int = START + 250, step: int = 200) -> list[Annotation]:
    """Beats one after the other; a dot is a beat left out."""
    return [Annotation(at + k * step, symbol) for k, symbol in enumerate(symbols) if symbol != "."]


def of(reference: list[Annotation], test: list[Annotation]) -> Tally:
    return compare(Annotations(tuple(reference)), Annotations(tuple(test)), PROTOCOL,
                   rate_hz=250, samples=START + 50_000)  # fmt: skip


def counts(tally: Tally, kind: str) -> list[dict[tuple[int, int], int]]:
    return [{(int(i), int(j)): int(way[i, j]) for i, j in zip(*np.nonzero(way), strict=True)}
            for way in tally.counts[f"{kind}_runs"]]  # fmt: skip


def test_runs_of_each_length() -> None:
    beats = row("NVNVVNVVVNVVVVVVVVN")
    expected = {(1, 1): 1, (2, 2): 1, (3, 3): 1, (6, 6): 1}
    assert counts(of(beats, beats), "ventricular") == [expected, expected]
    assert counts(of(beats, beats), "supraventricular") == [{}, {}]


def test_a_couplet_of_which_one_beat_was_seen() -> None:
    tally = of(row("NNVVNN"), row("NNVNNN"))
    # The test's beat alone is looked for 150 ms around it, where the reference has one, too.
    assert counts(tally, "ventricular") == [{(2, 1): 1}, {(1, 1): 1}]
    assert float(FIGURES["ve_couplet_sensitivity"].of(tally.vector)) == 0
    assert np.isnan(FIGURES["ve_couplet_positive_predictivity"].of(tally.vector))


def test_a_run_that_the_test_breaks_in_two() -> None:
    tally = of(row("NVVVVVVVN"), row("NVVVNVVVN"))
    # In the reference one long run, of which the longest piece found has three beats; the test's
    # two short ones both lie within the long one, which was looked at when the second came.
    assert counts(tally, "ventricular")[0] == {(6, 3): 1}
    assert float(FIGURES["ve_long_run_sensitivity"].of(tally.vector)) == 0
    assert counts(tally, "ventricular")[1] == {(3, 3): 2}
    assert float(FIGURES["ve_short_run_positive_predictivity"].of(tally.vector)) == 1


def test_fusion_beats_are_ventricular_and_unknown_ones_end_a_run() -> None:
    beats = row("NVFVQVN")
    assert counts(of(beats, beats), "ventricular")[0] == {(3, 3): 1, (1, 1): 1}


def test_normal_beats_in_atrial_fibrillation_make_a_run() -> None:
    beats = [*row("NNNVN"), Annotation(START + 290, "+", note="(AFIB")]
    found = counts(of(beats, beats), "supraventricular")
    assert found == [{(6, 6): 1}, {(6, 6): 1}]  # the run of one that follows is not ended


def test_ventricular_fibrillation_is_a_long_run() -> None:
    at = START + 250
    reference = [*row("NN"), Annotation(at + 300, "["), Annotation(at + 900, "]"),
                 *row("NN", at=at + 1000)]  # fmt: skip
    test = [*row("NN"), *row("VVVVVVV", at=at + 320, step=90), *row("NN", at=at + 1000)]
    found = counts(of(reference, test), "ventricular")
    assert found == [{(6, 6): 1}, {(6, 6): 1}]
    assert counts(of(reference, row("NN")), "ventricular")[0] == {(6, 0): 1}


def test_a_run_that_nothing_ends_is_not_counted() -> None:
    assert counts(of(row("NVVV"), row("NVVV")), "ventricular") == [{}, {}]


def rhythm(*told: tuple[int, str]) -> list[Annotation]:
    return [Annotation(sample, "+", note=note) for sample, note in told]


def test_episodes_begin_and_end() -> None:
    items = rhythm((0, "(N"), (10, "(AFIB"), (30, "(AFL"), (50, "(AFIB"))
    assert episodes(items, ATRIAL) == (Interval(10, 30), Interval(50, FOREVER))
    assert episodes(items, FLUTTER) == (Interval(30, 50),)
    marks = [Annotation(5, "["), Annotation(6, "!"), Annotation(9, "]")]
    assert episodes(marks, VENTRICULAR) == (Interval(5, 9),)


def test_episodes_are_found_where_they_overlap() -> None:
    found = compare_episodes(
        [Interval(0, 100), Interval(200, 300), Interval(400, 500)],
        [Interval(50, 150), Interval(260, 280), Interval(290, 310)], start=0, end=1000)  # fmt: skip
    # Reference: two of three, 50 + 20 + 10 of 300. Test: three of three, 80 of 140.
    assert found.tolist() == [2, 1, 80, 300, 3, 0, 80, 140]


def test_episodes_are_cut_to_the_test_period() -> None:
    found = compare_episodes([Interval(0, 100)], [Interval(0, 20)], start=50, end=80)
    assert found.tolist() == [0, 1, 0, 30, 0, 0, 0, 0]


def test_fibrillation_claimed_in_flutter_counts_neither_way() -> None:
    claimed = [Interval(100, 200), Interval(250, 400)]
    found = compare_episodes([], claimed, [Interval(100, 300)], start=0, end=1000)
    assert found.tolist() == [0, 0, 0, 0, 0, 1, 0, 100]


def test_short_episodes_are_not_asked_for() -> None:
    found = compare_episodes([Interval(0, 10)], [Interval(0, 10)], start=0, end=99, shortest=11)
    assert found.tolist() == [0.0] * 8


def test_durations_are_told_in_seconds() -> None:
    at = START
    reference = rhythm((at + 1000, "(AFIB"), (at + 3500, "(N"))
    test = rhythm((at + 2250, "(AFIB"), (at + 4750, "(N"))
    tally = of(reference, test)
    assert tally.counts["atrial_fibrillation"].tolist() == [1, 0, 5, 10, 1, 0, 5, 10]
    assert float(FIGURES["af_duration_sensitivity"].of(tally.vector)) == 0.5
