"""Frames of the detector to R peaks: the highest frame of its neighbourhood, once per heartbeat.

A frame becomes a peak when it is at or above the threshold and no frame within `WITHIN` on either
side is higher, so it is known `WITHIN` frames after it came. For `REFRACTORY` after a peak there is
no other: a ventricle cannot be excited again so soon.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

WITHIN = 3
"""Frames on either side that a peak is higher than; at 50 per second 60 ms."""
REFRACTORY = 10
"""Frames after a peak in which there is no other; 200 ms."""
_NEVER = np.float32(-40.0)
"""Logit of a frame that says nothing."""
_NOISE_TURN = np.float32(0.1)
"""Share of a hop in the running mean of noise: it follows within about a second."""
_NOISE_ON, _NOISE_OFF = 0.3, 0.2
"""Of the running mean. The network's label was noise in which beats are no longer found (6 dB);
classes go wrong sooner. In record 118, not learned from, with electrode motion at 12 dB a third of
the classes were wrong: 0.6 flagged none of that time, 0.3 flags 68 %, and 97 % at 6 dB. Of clean
DS1 it flags 1 % or less of most records, 7 % of 108, 65 % of 207 (flutter, runs, wide beats)."""
_LEAST_WEIGHT = 0.05
"""Of a lead that is all noise, beside 1 of a clean one: where all are noisy, all are heard."""
_OTHER_PLACES = 0.25


class Peak(NamedTuple):
    """An R peak.

    Attributes:
        row: number of the row that shows it.
        logit: of the frame.
        noisy: the running word on noise at that time.
    """

    row: int
    logit: float
    noisy: bool


class PeakDecoder:
    """Follows the frames of many streams at once.

    Attributes:
        threshold: probability from which a frame may be a peak.
        delay: rows by which a frame is late.
        stride: rows per frame.
        frames: per hop.
        wait: rows from a peak to the last row of the hop that makes it certain, at most.
    """

    def __init__(self, *, threshold: float, delay: int, stride: int, frames: int) -> None:
        """Prepares to follow.

        Raises:
            ValueError: numbers that make no sense.
        """
        if not (0 < threshold < 1 and delay >= 0 and stride >= 1 and frames >= 1):
            raise ValueError("a threshold between 0 and 1, a stride and frames of at least 1")
        self.threshold, self.delay, self.stride, self.frames = threshold, delay, stride, frames
        self.wait = delay + (WITHIN + frames) * stride
        self._least = math.log(threshold / (1 - threshold))
        self._middle = (stride - 1) / 2 - WITHIN * stride - delay

    def start(self) -> Arrays:
        """One stream before its first frame."""
        return {
            "logits": np.full(2 * WITHIN, _NEVER, np.float32),
            "places": np.zeros(2 * WITHIN, np.float32),
            "since": np.array(REFRACTORY, np.int64),
            "noise": np.array(0.0, np.float32),
            "noisy": np.array(0, np.bool_),
        }

    def step(
        self,
        state: Arrays,
        rows: NDArray[np.int64],
        frames: NDArray[np.float32],
        valid: NDArray[np.bool_],
        reset: NDArray[np.bool_],
    ) -> tuple[Arrays, list[list[Peak]]]:
        """One hop of each stream.

        Args:
            state: as in `start`, streams first.
            rows: (streams,) number of the hop's first row.
            frames: (streams, frames, 3) logit of a peak, its place, logit of noise.
            valid: (streams,) whether the hop's frames may be believed.
            reset: (streams,) nothing came before this hop.

        Returns:
            The new state, and of each stream the peaks that are certain now, in their order.
        """
        count = self.frames
        now, earlier, before = frames[..., 0], state["logits"], state["places"]
        if not valid.all():
            now = np.where(valid[:, None], now, _NEVER)
        if reset.any():
            earlier = np.where(reset[:, None], _NEVER, earlier)
            before = np.where(reset[:, None], np.float32(0), before)
        logits = np.concatenate([earlier, now], axis=1)
        places = np.concatenate([before, frames[..., 1]], axis=1)
        noise, noisy = self._noise(state, frames[..., 2], valid, reset)
        since = np.where(reset, REFRACTORY, state["since"])
        middle = logits[:, WITHIN : WITHIN + count]
        highest = middle >= self._least
        found: list[list[Peak]] = [[] for _ in rows]
        after = since + count
        if highest.any():
            for shift in range(WITHIN):
                highest &= middle > logits[:, shift : shift + count]
                later = WITHIN + 1 + shift
                highest &= middle >= logits[:, later : later + count]
            for stream, frame in np.argwhere(highest).tolist():
                # `since` counts from the last peak to the frame in front of this hop's first.
                if after[stream] - count + frame + 1 < REFRACTORY:
                    continue
                after[stream] = count - frame - 1
                place = float(places[stream, WITHIN + frame])
                place = min(max(place, -self.stride), self.stride)
                at = int(rows[stream]) + frame * self.stride + self._middle + place
                value = float(middle[stream, frame])
                found[stream].append(Peak(math.floor(at + 0.5), value, bool(noisy[stream])))
        kept = {
            "logits": logits[:, count:].astype(np.float32),
            "places": places[:, count:].astype(np.float32),
            "since": np.minimum(after, REFRACTORY),
            "noise": noise,
            "noisy": noisy,
        }
        return kept, found

    @staticmethod
    def _noise(
        state: Arrays,
        logits: NDArray[np.float32],
        valid: NDArray[np.bool_],
        reset: NDArray[np.bool_],
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The running mean of the hops' words on noise, and the verdict with its hysteresis."""
        heard = np.add.reduce(_chance(logits), axis=1) / np.float32(logits.shape[1])
        moved = state["noise"] + _NOISE_TURN * (heard - state["noise"])
        noise = np.where(valid, np.where(reset, heard, moved), state["noise"]).astype(np.float32)
        return noise, noise >= np.where(state["noisy"] & ~reset, _NOISE_OFF, _NOISE_ON)


def _chance(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    inside = np.minimum(np.maximum(logits, np.float32(-30)), np.float32(30))
    return np.asarray(1 / (1 + np.exp(-inside)), np.float32)


_FLATTER = 0.42
"""R peaks of two leads stand apart, so the mean of their bells is lower; this much in logit makes
one threshold best for one lead and for two (patients left out of DS1: sensitivity 99.84 and 99.90
%, positive predictivity 99.74 and 99.91 % at 0.45)."""


def fused(frames: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """One word of several leads: the mean over those that may be believed, clean ones first.

    A lead counts as much as it is thought to be free of noise at that moment. Where the R peak
    stands differs between leads by up to 30 ms, so of the places that of the first lead counts
    four times as much: one ruler for all beats.

    Args:
        frames: (..., leads, frames, 3), leads in order of preference.
        valid: (..., leads).

    Returns:
        (..., frames, 3); of no valid lead the mean of all, which nobody is to believe.
    """
    if frames.shape[-3] == 1:
        return np.asarray(frames[..., 0, :, :], np.float32)
    heard = valid | ~valid.any(axis=-1, keepdims=True)
    told = np.where(heard[..., None, None], frames, np.float32(0))
    weight = (_chance(-told[..., 2:]) + np.float32(_LEAST_WEIGHT)) * heard[..., None, None]
    first = np.arange(heard.shape[-1]) == heard.argmax(axis=-1)[..., None]
    place = weight * np.where(first, np.float32(1), np.float32(_OTHER_PLACES))[..., None, None]
    weights = np.concatenate([weight, place, weight], axis=-1)
    # Shares first: then of one valid lead nothing is changed, not even the last bit.
    shares = weights / weights.sum(axis=-3, keepdims=True)
    joined = np.asarray((told * shares).sum(axis=-3), np.float32)
    several = heard.sum(axis=-1) > 1
    joined[..., 0] += np.where(several, np.float32(_FLATTER), np.float32(0))[..., None]
    return joined


def decode(decoder: PeakDecoder, frames: NDArray[np.float32], first: int = 0) -> list[Peak]:
    """The peaks of a whole recording's frames, hop by hop as the device does it.

    Args:
        decoder: with its threshold.
        frames: (n, 3), fused.
        first: number of the first frame's first row.
    """
    state = {name: array[None] for name, array in decoder.start().items()}
    found: list[Peak] = []
    yes, no = np.array([True]), np.array([False])
    for at in range(0, len(frames) - decoder.frames + 1, decoder.frames):
        row = np.array([first + at * decoder.stride])
        part = frames[None, at : at + decoder.frames]
        state, peaks = decoder.step(state, row, part, yes, no if at else yes)
        found += peaks[0]
    return found
