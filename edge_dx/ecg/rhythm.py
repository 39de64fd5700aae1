"""Atrial fibrillation from the heart's periods: causal features, and episodes out of chances.

The ventricle beats irregularly without a pattern in atrial fibrillation; with ectopic beats it is
irregular with one. So each RR interval is compared with those one to four beats before, and the
network, which remembers, says whether the beat `DELAY_BEATS` ago belongs to an episode. Nothing
here looks at the atrium: what is regular (flutter with fixed conduction) is not found, and what is
irregular for other reasons can be mistaken.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_dx.ecg.events import Change

Array = NDArray[Any]
Arrays = dict[str, Array]

HISTORY = 48
"""RR intervals that are remembered."""
DELAY_BEATS = 12
"""The network's word is about the beat so many beats ago: it has seen what followed."""
LEAST_BEATS = 8
"""RR intervals in a row without a gap before a word is believed."""
_SHORT_S, _LONG_S = 0.2, 3.0

FEATURES = (
    "rr", "to_median", "to_previous", "change", "change_6", "change_12", "change_24", "change_48",
    "lag_2", "lag_3", "lag_4", "best_lag", "spread_12", "spread_24", "apart_share", "turns",
    "entropy", "early_share", "known",
)  # fmt: skip


class RhythmFeatures:
    """Follows the RR intervals of one stream.

    Attributes:
        names: of the features, in their order.
    """

    names = FEATURES

    def start(self) -> Arrays:
        """No beat has come."""
        return {"rr": np.zeros(HISTORY), "known": np.array(0, np.int64)}

    def reset(self, state: Arrays) -> Arrays:
        """After a gap: nothing from before it is compared with what comes."""
        return self.start()

    def beat(self, state: Arrays, rr_s: float | None) -> tuple[Arrays, Array]:
        """Takes a beat.

        Args:
            state: of the stream.
            rr_s: seconds since the beat before; None where that lies beyond a gap.

        Returns:
            The new state, and (features,) float32.
        """
        if rr_s is None:
            return self.start(), np.zeros(len(FEATURES), np.float32)
        rr = np.empty(HISTORY)
        rr[:-1] = state["rr"][1:]
        rr[-1] = min(max(rr_s, _SHORT_S), _LONG_S)
        known = min(int(state["known"]) + 1, HISTORY)
        after = {"rr": rr, "known": np.array(known, np.int64)}
        return after, _features(rr[HISTORY - known :])


def _features(rr: Array) -> Array:
    """Of the last intervals, the newest behind; relative to their median, so that rate is no
    matter."""
    n = len(rr)
    ordered = np.sort(rr[-24:])
    median = float(ordered[len(ordered) // 2])
    x = rr / median
    apart = np.abs(np.diff(x)) if n > 1 else np.zeros(1)
    lags = [float(np.abs(x[lag:] - x[:-lag])[-12:].mean()) if n > lag else 0.0
            for lag in (1, 2, 3, 4)]  # fmt: skip
    few, more = np.sort(x[-12:]), np.sort(x[-24:])
    near = apart[-24:]
    signs = np.diff(np.sign(np.diff(x[-25:]))) if n > 2 else np.zeros(1)
    found = np.array([
        np.log2(rr[-1] / 0.8), 2 * np.log2(x[-1]), 2 * np.log2(x[-1] / x[-2]) if n > 1 else 0.0,
        8 * apart[-1], 8 * apart[-6:].mean(), 8 * apart[-12:].mean(), 8 * near.mean(),
        8 * apart.mean(), 8 * lags[1], 8 * lags[2], 8 * lags[3], 8 * min(lags),
        6 * (few[-1 - len(few) // 6] - few[len(few) // 6]),
        6 * (more[-1 - len(more) // 6] - more[len(more) // 6]), 2 * (near > 0.06).mean(),
        2 * (signs != 0).mean(), _entropy(x[-24:]), 3 * (x[-24:] < 0.85).mean(), n / HISTORY,
    ])  # fmt: skip
    features: Array = np.clip(found, -4.0, 4.0).astype(np.float32)
    return features


def _entropy(x: Array) -> float:
    """Shannon entropy of the intervals in bins of 5 %, per octave of their number, 0 to 2."""
    bins = np.bincount(np.clip(((x - 0.4) / 0.05).astype(np.int64), 0, 39))
    share = bins[bins > 0] / len(x)
    bits = -float((share * np.log2(share)).sum())
    return 2 * bits / max(math.log2(len(x)), 1.0)


class Turn(NamedTuple):
    """An episode begins or ends.

    Attributes:
        row: of the first beat of the episode, or of the first one after it.
        change: which of the two.
        probability: mean over the beats that settled it.
    """

    row: int
    change: Change
    probability: float


_SETTLED = 3
"""Beats in a row that must agree."""


class Episodes:
    """Chances to episodes: it begins where they rise above one threshold and ends where they fall
    below another.

    Attributes:
        begins: probability from which an episode may begin.
        ends: probability below which it may end.
    """

    def __init__(self, begins: float, ends: float) -> None:
        """Prepares.

        Raises:
            ValueError: thresholds that make no sense.
        """
        if not 0 < ends <= begins < 1:
            raise ValueError("0 < ends <= begins < 1")
        self.begins, self.ends = begins, ends

    def start(self) -> Arrays:
        """No beat has come, and none is known to belong to an episode."""
        return {
            "rows": np.zeros(DELAY_BEATS + 1, np.int64),
            "beats": np.array(0, np.int64),
            "within": np.array(False),
            "turning": np.array(0, np.int64),
            "since": np.array(0, np.int64),
            "chance": np.array(0.0),
        }

    def beat(self, state: Arrays, row: int, probability: float) -> tuple[Arrays, list[Turn]]:
        """Takes a beat and what the network said with it.

        Args:
            state: of the stream.
            row: of the beat's R peak.
            probability: that the beat `DELAY_BEATS` before it belongs to an episode.
        """
        rows = np.append(state["rows"][1:], row).astype(np.int64)
        beats = int(state["beats"]) + 1
        after = {**state, "rows": rows, "beats": np.array(min(beats, 1 << 40), np.int64)}
        if beats <= max(DELAY_BEATS, LEAST_BEATS):
            return after, []
        within = bool(state["within"])
        turns = probability < self.ends if within else probability >= self.begins
        turning = int(state["turning"]) + 1 if turns else 0
        about = int(rows[0])
        # The first beats of a stretch never had a word of their own: they share the first one.
        since = int(state["since"]) if turning > 1 else about
        chance = (float(state["chance"]) * (turning - 1) + probability) / max(turning, 1)
        told: list[Turn] = []
        if turning >= _SETTLED:
            within, turning = not within, 0
            told.append(Turn(since, "begins" if within else "ends", chance))
        return {
            **after, "within": np.array(within), "turning": np.array(turning, np.int64),
            "since": np.array(since, np.int64), "chance": np.array(chance if turning else 0.0),
        }, told  # fmt: skip

    def broken(self, state: Arrays, row: int) -> tuple[Arrays, list[Turn]]:
        """A gap: a running episode ends at the last beat in front of it, because nothing is known
        behind."""
        told = []
        if bool(state["within"]):
            last = int(state["rows"][-1]) + 1
            told.append(Turn(min(last, row), "ends", 0.0))
        return self.start(), told
