"""How many answers two variants give otherwise."""

from __future__ import annotations

import numpy as np

from edge_dx.ecg.detect import Peak
from export.streams.following import Beats, Peaks
from export.streams.judged import Judged, Thresholds, changed


def judged(rows: list[int], rhythms: list[tuple[int, str]]) -> Judged:
    peaks = Peaks([Peak(row, 0.9, False) for row in rows], [0] * len(rows), [])
    beats = Beats(np.array(rows), {}, np.zeros(len(rows), np.bool_))
    return Judged(Thresholds(0.5), [peaks], {"rhythm": [beats]}, {}, {}, [rhythms])


ROWS = list(range(0, 20_000, 200))


def test_a_short_episode_changes_its_own_beats_and_none_behind_it() -> None:
    none = judged(ROWS, [])
    short = judged(ROWS, [(2000, "(AFIB"), (4000, "(N")])
    assert changed(short, none, "rhythm") == (100, 10)
    assert changed(none, short, "rhythm") == (100, 10)


def test_an_episode_that_begins_a_beat_later_is_one_beat() -> None:
    one = judged(ROWS, [(2000, "(AFIB")])
    assert changed(one, judged(ROWS, [(2001, "(AFIB")]), "rhythm") == (100, 1)
    assert changed(one, one, "rhythm") == (100, 0)


def test_beats_that_one_of_them_does_not_have_count() -> None:
    one, other = judged(ROWS, []), judged(ROWS[1:], [])
    assert changed(one, other, "detector") == (100, 1)
    assert changed(other, one, "detector") == (99, 1)
    moved = judged([row + 10 for row in ROWS], [])
    assert changed(one, moved, "detector") == (100, 0)
    away = judged([row + 11 for row in ROWS], [])
    assert changed(one, away, "detector") == (100, 200)
