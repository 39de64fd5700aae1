"""Butterworth and notch filters as second-order sections with carried state, and scaling."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from edge_dx.errors import MissingExtra, UnsupportedInput
from edge_dx.signal.events import Array
from edge_dx.signal.run import Run, pieces
from edge_dx.signal.state import Arrays
from edge_dx.signal.steps import Bandpass, Highpass, Mains, Notch, Scale
from edge_dx.signal.timing import Timing

QRS_HZ = 15.0
"""Most of a QRS complex's power lies around it; the delay of a filter is told here."""
FORGOTTEN = 0.01
"""A filter has settled where all that is older moves it by less than this part of its size."""
_LONGEST_S = 120
"""A filter that has not settled after so long is refused: it would warm up all day."""


def signal_library() -> Any:
    """`scipy.signal`.

    Raises:
        MissingExtra: scipy is not installed.
    """
    try:
        import scipy.signal
    except ImportError as error:
        raise MissingExtra("scipy", "ecg", "filtering a signal") from error
    return scipy.signal


def sections(step: Highpass | Bandpass | Notch, rate_hz: Fraction, mains_hz: Mains | None) -> Array:
    """The step's second-order sections at this rate, (sections, 6).

    Raises:
        UnsupportedInput: the rate is too low for it, or the power line's frequency was not said.
    """
    scipy_signal, fs = signal_library(), float(rate_hz)
    found: Array
    if isinstance(step, Notch):
        if mains_hz is None:
            raise UnsupportedInput(
                "the model's signal path takes out the power line, and nobody said which; give "
                "mains_hz=50 (Europe, Africa, most of Asia) or 60 (the Americas)", "format"
            )  # fmt: skip
        _below_half(mains_hz, fs)
        centres = [mains_hz * n for n in range(1, step.harmonics + 1) if mains_hz * n < 0.48 * fs]
        # Harmonics as wide in hertz as the first: the line's frequency wanders by a part of it.
        designs = [scipy_signal.iirnotch(f, step.quality * f / mains_hz, fs=fs) for f in centres]
        found = np.concatenate([scipy_signal.tf2sos(b, a) for b, a in designs])
    elif isinstance(step, Highpass):
        _below_half(step.cutoff_hz, fs)
        found = scipy_signal.butter(step.order, step.cutoff_hz, "highpass", fs=fs, output="sos")
    else:
        _below_half(step.high_hz, fs)
        band = (step.low_hz, step.high_hz)
        found = scipy_signal.butter(step.order, band, "bandpass", fs=fs, output="sos")
    return np.ascontiguousarray(found, np.float64)


def _below_half(frequency_hz: float, fs: float) -> None:
    if not frequency_hz < 0.48 * fs:
        raise UnsupportedInput(
            f"a filter at {frequency_hz:g} Hz needs more than {frequency_hz / 0.48:.0f} samples "
            f"per second, not {fs:g}", "format"
        )  # fmt: skip


class Filters:
    """Consecutive filters as one cascade of second-order sections.

    Where a lead begins anew they stand as after that value for ever.
    """

    def __init__(self, rate_hz: Fraction) -> None:
        self._run, self._rate_hz = _cascade(), rate_hz
        self._sos, self._timings = np.zeros((0, 6)), list[Timing]()

    def add(self, name: str, sos: Array, told_at_hz: float) -> None:
        """Another one, behind those that are there."""
        self._sos = np.ascontiguousarray(np.concatenate([self._sos, sos]))
        # (sections, 2), for an input of 1
        self._settled = signal_library().sosfilt_zi(self._sos)
        delay = group_delay(sos, told_at_hz, float(self._rate_hz))
        self._timings.append(
            Timing(
                stage=name,
                rate_hz=str(self._rate_hz),
                delay_samples=round(delay),
                receptive_field_samples=settling_samples(sos, self._rate_hz),
            )
        )

    @property
    def timings(self) -> tuple[Timing, ...]:
        """What they publish, each by itself."""
        return tuple(self._timings)

    def start(self, leads: int) -> Arrays:
        """The sections' memories, (leads, sections, 2)."""
        return {"memory": np.zeros((leads, len(self._sos), 2))}

    def step(self, state: Arrays, run: Run) -> tuple[Arrays, Run]:
        """Filters the rows."""
        memory, values = state["memory"], np.empty_like(run.values)
        for begin, end, anew in pieces(run.anew) if run.rows else ():
            if anew.any():
                memory = memory.copy()
                memory[anew] = self._settled * run.values[..., begin][anew][:, None, None]
            memory, values[..., begin:end] = self.calmly(memory, run.values[..., begin:end])
        return {"memory": memory}, Run(run.first, values, run.flags, run.anew)

    def calmly(self, memory: Array, values: Array) -> tuple[Array, Array]:
        """New memory, and values in which no lead begins anew."""
        if not values.shape[-1]:
            return memory, values
        rows, after = np.array(values, order="C"), np.array(memory, order="C")
        self._run(self._sos, rows.reshape(-1, rows.shape[-1]), after.reshape(-1, *after.shape[2:]))
        return after, rows


@cache
def _cascade() -> Callable[[Array, Array, Array], Any]:
    """Second-order sections in place: (sections, 6), rows (columns, n), memory (columns, …, 2).

    It is the compiled loop inside scipy's `sosfilt`. What stands around it there, to allow any
    axis and type, takes ten times as long as the loop for the few rows of a hop. It is not part of
    scipy's promise, so it is asked for and tried, and `sosfilt` does the same where it is gone.
    """
    sosfilt = signal_library().sosfilt

    def public(sos: Array, rows: Array, memory: Array) -> None:
        rows[:], after = sosfilt(sos, rows, zi=memory.transpose(1, 0, 2))
        memory[:] = after.transpose(1, 0, 2)

    try:
        from scipy.signal._sosfilt import _sosfilt as inner
    except ImportError:
        return public
    sos = np.array([[0.2, 0.1, 0.3, 1.0, -0.5, 0.2], [1.0, -1.0, 0.0, 1.0, -0.9, 0.0]])
    found = []
    for run in (inner, public):
        rows, memory = np.arange(6.0).reshape(2, 3), np.arange(8.0).reshape(2, 2, 2)
        try:
            run(sos, rows, memory)
        except (TypeError, ValueError):
            return public
        found.append(rows.tobytes() + memory.tobytes())
    return inner if found[0] == found[1] else public


class Scaling:
    """`x * factor`, cut to ±limit.

    Attributes:
        timings: what it publishes.
    """

    def __init__(self, step: Scale, rate_hz: Fraction) -> None:
        self._step = step
        self.timings = (
            Timing(stage="scale", rate_hz=str(rate_hz), delay_samples=0, receptive_field_samples=1),
        )

    def start(self, leads: int) -> Arrays:
        """Nothing to remember."""
        return {}

    def step(self, state: Arrays, run: Run) -> tuple[Arrays, Run]:
        """Scales the rows."""
        return {}, Run(run.first, self.scaled(run.values), run.flags, run.anew)

    def scaled(self, values: Array) -> Array:
        """The values alone."""
        if self._step.factor != 1.0:
            values = values * self._step.factor
        if self._step.limit is not None:
            values = np.minimum(np.maximum(values, -self._step.limit), self._step.limit)
        return values


def told_at(step: Highpass | Bandpass | Notch) -> float:
    """The frequency at which the step's delay is told: the QRS, or the middle of a band beside.

    A band narrower than the QRS rings, and where a ringing begins is a matter of convention; what
    looks for beats in one (5 to 15 Hz) puts the R peak where a wider band shows it.
    """
    if isinstance(step, Bandpass) and not step.low_hz <= QRS_HZ <= step.high_hz:
        return float(np.sqrt(step.low_hz * step.high_hz))
    return QRS_HZ


def group_delay(sos: Array, frequency_hz: float, fs: float) -> float:
    """Delay of a narrow packet around a frequency, in samples (the phase's slope)."""
    around = 2 * np.pi * (frequency_hz + np.array([-0.05, 0.05])) / fs
    z = np.exp(1j * around)[:, None]
    above = sos[:, 0] + sos[:, 1] / z + sos[:, 2] / z**2
    below = sos[:, 3] + sos[:, 4] / z + sos[:, 5] / z**2
    turn = np.angle((above[1] / below[1]) / (above[0] / below[0])).sum()
    return max(0.0, -float(turn) / float(around[1] - around[0]))


def settling_samples(sos: Array, rate_hz: Fraction) -> int:
    """Samples after which what is older moves the output by less than `FORGOTTEN` of its size.

    With |x| ≤ 1 before it, that part is at most the sum of the impulse response's absolute values
    from there on.

    Raises:
        UnsupportedInput: it takes minutes.
    """
    longest = int(_LONGEST_S * rate_hz)
    impulse = np.zeros(longest)
    impulse[0] = 1.0
    response = np.abs(signal_library().sosfilt(sos, impulse))
    left = np.cumsum(response[::-1])[::-1]
    settled = int(np.argmax(left < FORGOTTEN))
    if not left[-1] < FORGOTTEN or left[longest // 2] >= FORGOTTEN:
        raise UnsupportedInput(
            f"a filter of this path has not settled after {_LONGEST_S // 2} s; raise its cutoff",
            "format",
        )
    return max(1, settled)
