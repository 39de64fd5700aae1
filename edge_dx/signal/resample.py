"""Rational resampling by a causal polyphase filter with carried history.

Output row `m` stands at `m * down / up` on the device's index and leaves with the last sample at or
before that place. It is the sum over `taps` samples

    y[m] = Σ_k h[(m · down mod up) + k · up] · x[⌊m · down / up⌋ - k]

of one phase of the low-pass `h`, which is a Kaiser-windowed sinc (Kaiser 1974) at `up` times the
input rate. `h` is symmetric with its middle on a whole input sample, so the delay is exact. Both
grids have their zero at index 0: which samples make a row depends on its number alone, and the
accumulator that carries it is a 64-bit integer.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from edge_dx.errors import UnsupportedInput
from edge_dx.signal.events import Array
from edge_dx.signal.filters import signal_library
from edge_dx.signal.run import Run, pieces
from edge_dx.signal.state import Arrays
from edge_dx.signal.timing import MAX_RATIO, Timing

PASS, STOP = 0.35, 0.5
"""Edges of pass band and stop band, as parts of the lower of the two rates."""
STOP_DB = 60.0
"""Of the stop band, everywhere; the pass band's ripple follows from it (0.01 dB)."""
_DESIGN_DB = 63.0
"""What the window is made for: the sum of each phase being made 1 costs up to 3 dB."""
HALF_WIDTH = 13
"""Half the filter's length, in samples of the lower rate: what 63 dB between these edges needs."""


def taps(up: int, down: int) -> Array:
    """The low-pass at `up` times the input rate, gain `up`, middle at a multiple of `up`.

    Every phase sums to 1 exactly as far as float64 goes. Without it a constant input, such as the
    300 mV of an electrode, comes out with a pattern of its stop band's size: 0.3 mV, a P wave.
    """
    scipy_signal, wider = signal_library(), max(up, down)
    half = up * math.ceil(HALF_WIDTH * wider / up)
    window = ("kaiser", scipy_signal.kaiser_beta(_DESIGN_DB))
    # firwin counts in halves of the rate it works at, `up` times the input's.
    low_pass: Array = scipy_signal.firwin(2 * half + 1, (PASS + STOP) / wider, window=window)
    for phase in range(up):
        low_pass[phase::up] /= low_pass[phase::up].sum()
    return low_pass


class Resampler:
    """A compiled `resample` step.

    Attributes:
        up: rows per `down` samples, without common factor.
        down: samples per `up` rows.
        taps: the whole low-pass.
    """

    def __init__(self, rate_hz: Fraction, to_hz: int) -> None:
        ratio = to_hz / rate_hz
        self.up, self.down = ratio.numerator, ratio.denominator
        if max(self.up, self.down) > MAX_RATIO:
            raise UnsupportedInput(
                f"{rate_hz} samples per second cannot become {to_hz} exactly ({self.up} for every "
                f"{self.down}); state the device's nominal rate", "format"
            )  # fmt: skip
        self.taps = taps(self.up, self.down)
        half = len(self.taps) // 2
        self._length = -(-len(self.taps) // self.up)
        padded = np.zeros(self._length * self.up)
        padded[: len(self.taps)] = self.taps
        self._phases = padded.reshape(self._length, self.up)  # [k, phase]
        self._timing = Timing(
            stage="resample",
            rate_hz=str(rate_hz),
            delay_samples=half // self.up,
            receptive_field_samples=self._length,
        )

    @property
    def timing(self) -> Timing:
        """What it publishes."""
        return self._timing

    def start(self, leads: int) -> Arrays:
        """The last samples and their flags, and who still has to say that it began anew."""
        return {
            "history": np.zeros((leads, self._length - 1)),
            "flags": np.zeros((leads, self._length - 1), np.uint8),
            "anew": np.zeros(leads, np.bool_),
        }

    def step(self, state: Arrays, run: Run) -> tuple[Arrays, Run]:
        """Rows that leave with these samples; there may be none."""
        history, marks, waiting = state["history"], state["flags"], state["anew"]
        rounds = run.first // self.down
        place = int(run.first[0] % self.down)  # the same for all streams of a run
        outs: list[tuple[Array, Array, Array]] = []
        for begin, end, anew in pieces(run.anew) if run.rows else ():
            if anew.any():
                history, marks = history.copy(), marks.copy()
                history[anew] = run.values[..., begin][anew][:, None]
                marks[anew] = 0
                waiting = waiting | anew
            samples = np.concatenate([history, run.values[..., begin:end]], axis=-1)
            flags = np.concatenate([marks, run.flags[..., begin:end]], axis=-1)
            values, marked = self._rows(samples, flags, place + begin, place + end)
            begins = np.zeros(values.shape, np.bool_)
            if values.shape[-1]:
                begins[..., 0], waiting = waiting, np.zeros_like(waiting)
            outs.append((values, marked, begins))
            keep = samples.shape[-1] - (self._length - 1)
            history, marks = samples[..., keep:], flags[..., keep:]
        first = rounds * self.up + -(-place * self.up // self.down)
        joined = [np.concatenate(part, axis=-1) for part in zip(*outs, strict=True)] or [
            run.values, run.flags, run.anew
        ]  # fmt: skip
        after = {"history": history, "flags": marks, "anew": waiting}
        return after, Run(first, joined[0], joined[1], joined[2])

    def _rows(self, samples: Array, flags: Array, begin: int, end: int) -> tuple[Any, Any]:
        """The rows that leave with the samples `begin` to `end`, counted from the round's start.

        `samples` has the history in front.
        """
        rows = np.arange(-(-begin * self.up // self.down), -(-end * self.up // self.down))
        newest, phase = divmod(rows * self.down, self.up)
        reach = np.arange(self._length)[:, None]
        where = newest[None] - begin + (self._length - 1) - reach  # (taps, rows)
        products = samples[..., where]
        products *= self._phases[:, phase]
        # Added one after the other: a sum (or a matrix product) picks its order by the shape of
        # the block, and the last bit with it.
        total = products[..., 0, :].copy()
        for k in range(1, self._length):
            total += products[..., k, :]
        marked = np.zeros(total.shape, np.uint8)
        if flags.any():
            marked = np.bitwise_or.reduce(flags[..., where], axis=-2)
        return total, marked
