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
_PLANS, _PLANNED_SAMPLES = 512, 512
"""So many arrivals, by size and place, are laid out only once; longer ones each time."""
_AT_ONCE = 64
"""Columns that are worked off together; with more the products no longer fit the cache."""
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
        timings: what it publishes.
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
        self._plans: dict[tuple[int, int], tuple[Array, Array]] = {}
        self.timings = (
            Timing(
                stage="resample",
                rate_hz=str(rate_hz),
                delay_samples=half // self.up,
                receptive_field_samples=self._length,
            ),
        )

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
            values = self._rows(samples, place + begin, place + end)
            marked = self._marked(flags, place + begin, place + end)
            begins = np.zeros(values.shape, np.bool_)
            if values.shape[-1]:
                begins[..., 0], waiting = waiting, np.zeros_like(waiting)
            outs.append((values, marked, begins))
            keep = samples.shape[-1] - (self._length - 1)
            history, marks = samples[..., keep:], flags[..., keep:]
        joined = [np.concatenate(part, axis=-1) for part in zip(*outs, strict=True)] or [
            run.values, run.flags, run.anew
        ]  # fmt: skip
        after = {"history": history, "flags": marks, "anew": waiting}
        return after, Run(self.first_rows(run.first), joined[0], joined[1], joined[2])

    def calmly(self, history: Array, values: Array, first: int) -> tuple[Array, Array]:
        """New history, and the rows of samples in which nothing is flagged and no lead begins anew.

        Args:
            history: (streams, leads, length - 1).
            values: (streams, leads, n).
            first: device index of the first sample of one stream; all stand at its place.
        """
        begin, n = first % self.down, values.shape[-1]
        samples = np.concatenate([history, values], axis=-1)
        return samples[..., n:].copy(), self._rows(samples, begin, begin + n)

    def first_rows(self, first: Array) -> Array:
        """Number of the first row that leaves with or after each of these samples."""
        rounds, place = np.divmod(first, self.down)
        found: Array = rounds * self.up - (-place * self.up // self.down)
        return found

    def _marked(self, flags: Array, begin: int, end: int) -> Array:
        """All flags of the samples in each row together."""
        where, _ = self._plan(begin, end - begin)
        if not flags.any():
            return np.zeros((*flags.shape[:-1], where.shape[-1]), np.uint8)
        return np.asarray(np.bitwise_or.reduce(flags[..., where], axis=-2))

    def _rows(self, samples: Array, begin: int, end: int) -> Array:
        """The rows that leave with the samples `begin` to `end`, counted from the round's start.

        `samples` has the history in front.
        """
        where, weights = self._plan(begin, end - begin)
        rows = np.empty((*samples.shape[:-1], where.shape[-1]))
        some = max(1, _AT_ONCE // samples.shape[1])
        for low in range(0, len(samples), some):
            products = samples[low : low + some].take(where, axis=2)
            products *= weights
            rows[low : low + some] = _added(products)
        return rows

    def _plan(self, begin: int, n: int) -> tuple[Array, Array]:
        """Which samples make each row of an arrival of this size at this place, and their weights.

        Both (taps, rows).
        """
        found = self._plans.get((begin, n))
        if found is None:
            end = begin + n
            rows = np.arange(-(-begin * self.up // self.down), -(-end * self.up // self.down))
            newest, phase = divmod(rows * self.down, self.up)
            reach = np.arange(self._length)[:, None]
            where = newest[None] - begin + (self._length - 1) - reach
            found = where, np.ascontiguousarray(self._phases[:, phase])
            if n <= _PLANNED_SAMPLES and len(self._plans) < _PLANS:
                self._plans[begin, n] = found
        return found


def _added(products: Array) -> Array:
    """The sum over the taps of (streams, leads, taps, rows), one after the other for each row.

    With two rows or more numpy runs along the rows and adds tap after tap. A single row it would
    sum in pairs, as a matrix product would: in an order picked by the shape of the block, which
    the last bit follows. So a single row gets company.
    """
    if products.shape[-1] == 1:
        return np.asarray(np.add.reduce(np.repeat(products, 2, axis=-1), axis=-2)[..., :1])
    return np.asarray(np.add.reduce(products, axis=-2))
