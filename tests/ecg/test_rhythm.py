"""Rhythm: features look back only, episodes turn where chances turn, nothing goes across a gap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.ecg.rhythm import DELAY_BEATS, FEATURES, Episodes, RhythmFeatures, Turn

INTERVALS = st.lists(st.floats(0.2, 3.0), min_size=1, max_size=80)


def heard(rr: list[float | None]) -> np.ndarray:
    features = RhythmFeatures()
    state, found = features.start(), []
    for interval in rr:
        state, told = features.beat(state, interval)
        found.append(told)
    return np.array(found)


@given(rr=INTERVALS, later=INTERVALS)
def test_features_look_back_only_and_are_finite(rr: list[float], later: list[float]) -> None:
    alone, followed = heard([*rr]), heard([*rr, *later])
    assert alone.shape == (len(rr), len(FEATURES))
    assert alone.dtype == np.float32
    assert np.isfinite(followed).all()
    assert (followed[: len(rr)] == alone).all()


@given(before=INTERVALS, after=INTERVALS)
def test_a_gap_is_a_new_beginning(before: list[float], after: list[float]) -> None:
    joined = heard([*before, None, *after])
    assert (joined[len(before) + 1 :] == heard([*after])).all()
    assert not joined[len(before)].any()


def test_the_rate_is_no_matter_but_for_the_feature_that_tells_it() -> None:
    rr = np.random.default_rng(1).uniform(0.5, 0.9, 60)
    slow, fast = heard(list(rr * 1.4)), heard(list(rr * 0.7))
    apart = np.abs(slow - fast).max(axis=0)
    assert apart[FEATURES.index("rr")] > 0.5
    assert np.delete(apart, FEATURES.index("rr")).max() < 1e-4


def test_what_has_no_pattern_looks_otherwise_than_bigeminy() -> None:
    random = np.random.default_rng(2)
    bigeminy = heard(list(np.tile([0.55, 1.05], 30) + random.normal(0, 0.01, 60)))[-1]
    irregular = heard(list(random.uniform(0.45, 1.15, 60)))[-1]
    lag = FEATURES.index("best_lag")
    assert bigeminy[lag] < 0.4 < 1.0 < irregular[lag]


def turns(chances: list[float], follower: Episodes | None = None) -> list[tuple[int, Turn]]:
    follower = follower or Episodes(0.6, 0.4)
    state, found = follower.start(), []
    for number, chance in enumerate(chances):
        state, told = follower.beat(state, 100 * number, chance)
        found += [(number, turn) for turn in told]
    return found


def test_an_episode_stands_where_the_network_meant_it() -> None:
    chances = [0.1] * 40 + [0.9] * 30 + [0.1] * 30
    (at, begins), (later, ends) = turns(chances)
    assert (begins.change, ends.change) == ("begins", "ends")
    assert begins.row == 100 * (40 - DELAY_BEATS)
    assert at == 42
    assert ends.row == 100 * (70 - DELAY_BEATS)
    assert later == 72
    assert begins.probability == pytest.approx(0.9)
    assert ends.probability == pytest.approx(0.1)


def test_one_that_runs_from_the_beginning_begins_there() -> None:
    ((_, begins),) = turns([0.9] * 40)
    assert begins.row == 0


def test_between_the_thresholds_nothing_turns() -> None:
    assert turns([0.5] * 60) == []
    assert len(turns([0.9] * 30 + [0.5] * 60)) == 1


def test_a_gap_ends_a_running_episode_at_the_last_beat() -> None:
    follower = Episodes(0.6, 0.4)
    state = follower.start()
    for number in range(40):
        state, _ = follower.beat(state, 100 * number, 0.95)
    state, told = follower.broken(state, 9000)
    assert [(turn.row, turn.change) for turn in told] == [(3901, "ends")]
    assert follower.broken(state, 9001)[1] == []


@given(chances=st.lists(st.floats(0, 1), max_size=200))
def test_episodes_alternate_and_never_go_back_in_time(chances: list[float]) -> None:
    found = [turn for _, turn in turns(chances)]
    assert [turn.change for turn in found] == (["begins", "ends"] * 100)[: len(found)]
    rows = [turn.row for turn in found]
    assert rows == sorted(rows)


@pytest.mark.parametrize("bad", [(0.4, 0.6), (0.0, 0.0), (1.0, 0.5)])
def test_thresholds_that_make_no_sense_are_refused(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="ends"):
        Episodes(*bad)
