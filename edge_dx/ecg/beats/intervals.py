"""RR intervals against the patient's own rhythm.

An interval is clean where both its beats have the patient's dominant shape: the pause behind a
ventricular beat says nothing about the sinus node's pace.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import compress, pairwise
from operator import and_

HISTORY = 256
"""Intervals that are remembered: a run of a hundred early beats does not become the rule."""
_LIMIT = 1.5
_TYPICAL_S = 0.8
_FEW = 4

INTERVALS = (
    "rr_known", "history", "clean_32",
    "rr_to_median_8", "rr_to_median_32", "rr_to_median_256",
    "rr_to_low_32", "rr_to_high_32", "rr_to_high_256", "rr_to_longest_8",
    "rr_rank_8", "rr_rank_32", "rr_rank_256",
    "rr_to_previous", "rr_to_second", "previous_to_median_32", "second_to_median_32",
    "rr", "median_32", "median_256_to_32",
    "change_8", "change_32", "spread_32", "alike_32", "steady_32",
)  # fmt: skip
"""Known when the beat is. Over the last 8 all intervals count, over 32 and 256 the clean ones of
them. `low` and `high` are the 20th and 80th percentile, `rank` the share of shorter intervals,
`alike` the share within 6 % of this one, `steady` within 10 % of the median; `change` is the mean
step from one interval to the next, as a logarithm."""

LATER = ("post_known", "post_to_rr", "post_to_median_32", "post_to_high_32", "post_rank_32",
         "pair_to_median_32")  # fmt: skip
"""Known with the next beat. `pair` is the mean of the intervals before and after the beat: that of
the median where a pause compensates."""


def _log(ratio: float) -> float:
    return min(max(math.log(max(ratio, 1e-3)), -_LIMIT), _LIMIT)


def _share(ordered: Sequence[float], fraction: float) -> float:
    return ordered[int(fraction * (len(ordered) - 1) + 0.5)]


def _rank(ordered: Sequence[float], rr: float) -> float:
    # An interval a little longer or shorter counts half: jitter must not turn the rank over.
    shorter = bisect_left(ordered, rr * 0.98)
    alike = bisect_left(ordered, rr * 1.02) - shorter
    return (shorter + 0.5 * alike) / len(ordered) - 0.5


def _around(ordered: Sequence[float], rr: float, share: float) -> float:
    inside = bisect_left(ordered, rr * (1 + share)) - bisect_right(ordered, rr * (1 - share))
    return inside / len(ordered)


def _clean(history: Sequence[float], clean: Sequence[bool], last: int) -> list[float]:
    found = list(compress(history[-last:], clean[-last:]))
    if len(found) < _FEW:  # every second beat is another's: the own pace is that of before
        found = list(compress(history, clean))[-last:]
    return found if len(found) >= _FEW else list(history[-last:])


def interval_features(
    history: Sequence[float], clean: Sequence[bool], rr: float | None
) -> list[float]:
    """`INTERVALS` of a beat.

    Args:
        history: the intervals before, seconds, oldest first; none from beyond a gap.
        clean: which of them are.
        rr: the interval that ends at the beat; None where there is none.
    """
    if rr is None:
        return [0.0] * len(INTERVALS)
    known = [1.0, min(len(history), 32) / 32]
    if not history:
        return [*known, *[0.0] * 15, _log(rr / _TYPICAL_S), _log(rr / _TYPICAL_S), *[0.0] * 6]
    near, recent = history[-8:], clean[-32:]
    near_ordered = sorted(near)
    mid, whole = sorted(_clean(history, clean, 32)), sorted(_clean(history, clean, HISTORY))
    median, usual = mid[len(mid) // 2], whole[len(whole) // 2]
    low, high = _share(mid, 0.2), _share(mid, 0.8)
    previous = history[-1]
    second = history[-2] if len(history) > 1 else previous
    logs = list(map(math.log, history[-32:]))
    steps = [min(abs(b - a), _LIMIT) for a, b in pairwise(logs)]
    own = list(compress(steps, map(and_, recent, recent[1:])))
    steps = steps[-(len(near) - 1) :] if len(near) > 1 else []
    return [
        *known, sum(recent) / len(recent),
        _log(rr / near_ordered[len(near) // 2]), _log(rr / median), _log(rr / usual),
        _log(rr / low), _log(rr / high), _log(rr / _share(whole, 0.8)), _log(rr / max(near)),
        _rank(near_ordered, rr), _rank(mid, rr), _rank(whole, rr),
        _log(rr / previous), _log(rr / second), _log(previous / median), _log(second / median),
        _log(rr / _TYPICAL_S), _log(median / _TYPICAL_S), _log(usual / median),
        sum(steps) / len(steps) if steps else 0.0, sum(own) / len(own) if own else 0.0,
        _log(high / low),
        _around(mid, rr, 0.06), _around(mid, median, 0.1),
    ]  # fmt: skip


def later_features(
    history: Sequence[float], clean: Sequence[bool], rr: float | None, post: float
) -> list[float]:
    """`LATER` of a beat.

    Args:
        history: the intervals before the beat, without `rr`.
        clean: which of them are.
        rr: the interval that ends at it.
        post: the interval that begins at it.
    """
    if rr is None or not history:
        return [1.0, 0.0 if rr is None else _log(post / rr), 0.0, 0.0, 0.0, 0.0]
    mid = sorted(_clean(history, clean, 32))
    median = mid[len(mid) // 2]
    return [
        1.0, _log(post / rr), _log(post / median), _log(post / _share(mid, 0.8)),
        _rank(mid, post), _log((rr + post) / (2 * median)),
    ]  # fmt: skip
