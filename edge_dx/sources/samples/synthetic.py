"""An ECG that nobody has: for demonstrations, tests and load, never for training or evidence.

Five Gaussians on the phase of the heart's cycle (McSharry et al. 2003, IEEE Trans. Biomed. Eng. 50,
289, table I; in the closed form of Sameni et al. 2007, ibid. 54, 2172), with a breathing and a
vasomotor rhythm in the RR interval, baseline wander, mains hum and noise. Premature ventricular
beats are wide, early, without a P wave, and followed by a compensatory pause.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_dx.signal import Samples
from edge_dx.signal.timing import Rate, exact_rate
from edge_dx.sources.samples.source import BLOCK

_SINUS = np.array([  # phase of the cycle (rad), millivolts in lead II, width (rad): P Q R S T
    (-1.20, 0.14, 0.25), (-0.22, -0.10, 0.08), (0.0, 1.10, 0.09), (0.24, -0.22, 0.09),
    (1.75, 0.32, 0.42),
])  # fmt: skip
# Notched and some 150 ms wide, without a P wave, T against it.
_EARLY = np.array([(-0.12, 0.95, 0.10), (0.0, 0.55, 0.07), (0.15, 0.85, 0.12), (0.50, -0.75, 0.17),
                   (1.9, -0.45, 0.45)])  # fmt: skip
_BREATHING_HZ, _VASOMOTOR_HZ = 0.25, 0.1
_PREMATURE = 0.62
"""Where in the sinus cycle a premature beat falls."""


@dataclass(frozen=True)
class Beat:
    """Where the R wave's peak truly is.

    Attributes:
        index: of the nearest sample.
        ventricular: a premature ventricular beat.
    """

    index: int
    ventricular: bool


class Synthetic:
    """A made-up recording, the same for the same arguments.

    Attributes:
        name: says that it is made up.
        rate_hz: as asked.
        leads: `II` and `V1`.
        full_scale_mv: there is no converter.
    """

    name = "synthetic"
    leads = ("II", "V1")
    full_scale_mv: float | None = None

    def __init__(
        self,
        *,
        rate_hz: Rate = 250,
        seconds: float = 60.0,
        bpm: float = 70.0,
        premature_every: int = 0,
        noise_mv: float = 0.01,
        wander_mv: float = 0.1,
        hum_mv: float = 0.0,
        mains_hz: int = 50,
        seed: int = 0,
    ) -> None:
        """Prepares a recording; nothing is held in memory but the block being made.

        Args:
            rate_hz: samples per second.
            seconds: how long.
            bpm: mean heart rate, 20 to 250.
            premature_every: every so many beats one is ventricular; 0 for none.
            noise_mv: standard deviation of white noise.
            wander_mv: amplitude of the baseline.
            hum_mv: amplitude of the power line.
            mains_hz: its frequency.
            seed: of everything random.

        Raises:
            UnsupportedInput: a rate that no ECG has.
            ValueError: another number that makes no sense.
        """
        if not (20 <= bpm <= 250 and 0 < seconds < 1e9 and premature_every >= 0):
            raise ValueError("bpm lies in 20 to 250, seconds and premature_every are positive")
        self.rate_hz = exact_rate(rate_hz)
        self.samples = int(seconds * self.rate_hz)
        self._rr_s, self._premature_every, self._seed = 60 / bpm, premature_every, seed
        self._noise_mv, self._wander_mv = noise_mv, wander_mv
        self._hum_mv, self._mains_hz = hum_mv, mains_hz

    def close(self) -> None:
        """Nothing to close."""

    def beats(self) -> Iterator[Beat]:
        """All beats whose peak lies within the recording, as they are drawn."""
        for at_s, _, early in self._beats():
            index = round(at_s * float(self.rate_hz))
            if index >= self.samples:
                return
            if index >= 0:
                yield Beat(index, early)

    def blocks(self) -> Iterator[Samples]:
        """The recording from index 0 on."""
        rate, beats = float(self.rate_hz), self._beats()
        near = [next(beats)]
        for number, begin in enumerate(range(0, self.samples, BLOCK)):
            n = min(BLOCK, self.samples - begin)
            t = (begin + np.arange(n)) / rate
            while near[-1][0] < t[-1] + 3.0:
                near.append(next(beats))
            near = [beat for beat in near if beat[0] > t[0] - 3.0] or near[-1:]
            mv = np.zeros((n, 2))
            for at_s, rr_s, early in near:
                self._draw(mv, t, at_s, rr_s, early=early)
            slow = self._wander_mv * np.sin(2 * np.pi * _BREATHING_HZ * t)
            hum = self._hum_mv * np.sin(2 * np.pi * self._mains_hz * t)
            random = np.random.Generator(
                np.random.Philox(key=self._seed, counter=[0, 0, 1, number])
            )
            mv += (slow + hum)[:, None] + self._noise_mv * random.standard_normal((n, 2))
            yield Samples(mv, begin)

    def _draw(
        self, mv: np.ndarray, t: np.ndarray, at_s: float, rr_s: float, *, early: bool
    ) -> None:
        """Adds one beat to what is there; its waves end within half a cycle and T."""
        first, last = np.searchsorted(t, (at_s - 0.6 * rr_s, at_s + 0.9 * rr_s))
        if first == last:
            return
        # A fast heart shortens the waves by the root of the cycle, as Bazett's formula has it.
        phase = 2 * np.pi * (t[first:last] - at_s) / math.sqrt(rr_s)
        for place, height, width in _EARLY if early else _SINUS:
            wave = height * np.exp(-0.5 * ((phase - place) / width) ** 2)
            mv[first:last, 0] += wave
            mv[first:last, 1] += wave * (-0.6 if (place == 0.0) != early else 0.5)

    def _beats(self) -> Iterator[tuple[float, float, bool]]:
        """(time of the R peak, RR interval around it, premature) without end."""
        random = np.random.Generator(np.random.Philox(key=self._seed, counter=[0, 0, 0, 0]))
        at_s, number = 0.5, 0
        while True:
            number += 1
            rhythm = 0.04 * math.sin(2 * math.pi * _BREATHING_HZ * at_s)
            rhythm += 0.03 * math.sin(2 * math.pi * _VASOMOTOR_HZ * at_s)
            rr_s = self._rr_s * (
                1 + rhythm + 0.01 * float(np.clip(random.standard_normal(), -3, 3))
            )
            early = self._premature_every > 0 and number % self._premature_every == 0
            if early:  # the sinus beat that falls into it is blocked, the next one comes in time
                yield at_s - (1 - _PREMATURE) * rr_s, rr_s, True
            else:
                yield at_s, rr_s, False
            at_s += rr_s
