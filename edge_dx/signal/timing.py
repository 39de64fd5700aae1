"""When a row of output happened: rates, delays, receptive fields, and the exact map of indices.

Every stage says how late its output is (`delay_samples`) and how far back it looks
(`receptive_field_samples`), both in samples at its own input. The manifest publishes these, and
`Clockwork` subtracts the sum from the time of every event.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from edge_dx.errors import UnsupportedInput

Rate = int | float | Fraction
"""Samples per second. A float stands for the simplest fraction that it could mean."""

MIN_HZ, MAX_HZ = 20, 10_000
"""Slower is no ECG; faster than any recorder of one."""
MAX_RATIO = 2000
"""Bounds the filter table of a resampler; 257 → 250 needs 257, a rate of 359.9 Hz needs 3599."""


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a stage publishes.

    Attributes:
        stage: its step's tag.
        rate_hz: of its input, as a fraction in words (`360`, `1000/3`).
        delay_samples: how much later than its input an event stands in its output.
        receptive_field_samples: samples that a row of its output rests on. Of a recursive filter:
            whatever is older moves the output by less than 1 % of its own largest value.
    """

    stage: str
    rate_hz: str
    delay_samples: Annotated[int, Meta(ge=0)]
    receptive_field_samples: Annotated[int, Meta(ge=1)]


def exact_rate(rate_hz: Rate) -> Fraction:
    """The rate as a fraction.

    Raises:
        UnsupportedInput: not a rate that an ECG is recorded with.
    """
    # A float of a header (62.4 Hz) means the decimal fraction, not the binary one.
    finite = not isinstance(rate_hz, float) or math.isfinite(rate_hz)
    found = Fraction(rate_hz).limit_denominator(1000) if finite else Fraction(0)
    if not MIN_HZ <= found <= MAX_HZ:
        raise UnsupportedInput(
            f"{rate_hz} samples per second are not read; ECG has {MIN_HZ} to {MAX_HZ}", "format"
        )
    return found


class Clockwork:
    """Device sample index ↔ row of output, exact for every index.

    Both grids have their zero at device index 0, so neither a start in the middle nor a gap moves
    the map. The row `m` leaves with the sample `arrives(m)`, and what it shows happened at the
    sample `when(m)`.

    Attributes:
        rate_hz: of the device.
        out_hz: of the rows.
        up: rows per `down` samples, without common factor.
        down: samples per `up` rows.
        delay: of all stages together, in device samples.
        receptive_field: of all stages together, in rows.
    """

    def __init__(self, rate_hz: Fraction, out_hz: Fraction, stages: Sequence[Timing]) -> None:
        self.rate_hz, self.out_hz = rate_hz, out_hz
        ratio = out_hz / rate_hz
        self.up, self.down = ratio.numerator, ratio.denominator
        delays = [t.delay_samples * rate_hz / Fraction(t.rate_hz) for t in stages]
        past = [(t.receptive_field_samples - 1) * out_hz / Fraction(t.rate_hz) for t in stages]
        self.delay = sum(delays, Fraction(0))
        self.receptive_field = 1 + math.ceil(sum(past, Fraction(0)))
        # The map repeats every `up` rows, so one round of it is the whole map.
        nearest = Fraction(1, 2) - self.delay
        self._when = np.array(
            [math.floor(Fraction(m * self.down, self.up) + nearest) for m in range(self.up)],
            np.int64,
        )

    @property
    def delay_s(self) -> float:
        """The delay in seconds."""
        return float(self.delay / self.rate_hz)

    def when(self, rows: NDArray[np.int64] | int) -> Any:
        """Device index, to the nearest sample, of what the rows show: all delays subtracted."""
        rounds, place = divmod(np.asarray(rows, np.int64), self.up)
        found = rounds * self.down + self._when[place]
        return int(found) if isinstance(rows, int) else found

    def arrives(self, row: int) -> int:
        """The device index of the sample with which this row leaves: the last up to its place."""
        return row * self.down // self.up

    def first_row(self, index: int) -> int:
        """The first row that leaves with this sample or after it."""
        return -(-index * self.up // self.down)

    def row_showing(self, index: int) -> int:
        """The row that shows what happened at this device index, to the nearest row."""
        return math.floor((index + self.delay) * self.up / self.down + Fraction(1, 2))
