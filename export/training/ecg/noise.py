"""What wearables add to an ECG, drawn at random: gain, polarity, wander, muscle, motion, hum, gaps.

Everything is made at the rows' rate (250 per second, 0.5 to 40 Hz), so no filter runs in training;
each kind has the shape that the signal path leaves of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 250
NOISY_DB = 6.0
"""Below this signal-to-noise ratio classes of beats cannot be relied on; the third output says so.

The ratio is that of Moody's noise stress test (1984): (peak-to-peak of the QRS / 2√2)² over the
noise's mean square."""
_SOFT_DB = 1.5
_NODES_HZ = np.array([0.5, 2.0, 5.0, 10.0, 20.0, 40.0])
_EDGE = 25
"""Rows around the beginning and end of a silence in which nobody can say what is a beat."""

Floats = NDArray[Any]


@dataclass(frozen=True)
class Crop:
    """A piece of a recording to train on.

    Attributes:
        rows: (n,) float32 millivolts.
        beats: rows of the R peaks, ascending, fractions allowed.
        known: (n,) whether the experts' word on beats holds here.
        noisy: (n,) soft label of "too noisy".
    """

    rows: NDArray[np.float32]
    beats: NDArray[np.float64]
    known: NDArray[np.bool_]
    noisy: NDArray[np.float32]


def coloured(random: np.random.Generator, n: int, low_hz: float, high_hz: float,
             slope: float) -> Floats:  # fmt: skip
    """Noise of unit variance between two frequencies, its power falling as 1 / f^slope."""
    size = 1 << (n - 1).bit_length()
    f = np.fft.rfftfreq(size, 1 / RATE_HZ)
    shape = np.where((f >= low_hz) & (f <= high_hz), np.maximum(f, low_hz) ** (-slope / 2), 0.0)
    spectrum = shape * (random.standard_normal(len(f)) + 1j * random.standard_normal(len(f)))
    found = np.fft.irfft(spectrum, size)[:n]
    return found / max(float(found.std()), 1e-9)


def reshaped(random: np.random.Generator, x: Floats) -> Floats:
    """As another front end or another heart might show it: a random, smooth gain over frequency.

    The phase stays, and with it the place of the R peak.
    """
    size = 1 << (len(x) - 1).bit_length()
    f = np.fft.rfftfreq(size, 1 / RATE_HZ)
    levels_db = random.normal(0.0, 4.0, len(_NODES_HZ))
    levels_db[2:4] *= 0.5  # most of a QRS complex: it stays visible
    gain = np.interp(np.log(np.maximum(f, 0.5)), np.log(_NODES_HZ), 10 ** (levels_db / 20))
    return np.fft.irfft(np.fft.rfft(x, size) * gain, size)[: len(x)]


def taller(random: np.random.Generator, x: Floats, beats: Floats, size: float) -> Floats:
    """With P waves or T waves as tall as some hearts have them, and few of those trained on."""
    found = x
    for chance, first, last, narrow, wide, tallest in (
        (0.25, -55, -28, 4.0, 9.0, 0.6),
        (0.25, 50, 100, 9.0, 20.0, 1.0),
    ):
        if random.random() >= chance:
            continue
        at = np.round(beats + random.uniform(first, last)).astype(int)
        train = np.zeros(len(x))
        train[at[(at >= 0) & (at < len(x))]] = random.choice([-1, 1]) * random.uniform(0.1, tallest)
        t = np.arange(-60, 61) / random.uniform(narrow, wide)
        found = found + size * np.convolve(train, np.exp(-0.5 * t**2), mode="same")
    return found


def _noise(random: np.random.Generator, n: int, size: float) -> Floats:
    """The sum of what disturbs, in the signal's unit; `size` is the height of a QRS complex."""
    noise = np.zeros(n)
    if random.random() < 0.7:  # wander
        noise += coloured(random, n, 0.5, 2.0, 2.0) * 10 ** random.uniform(-2, 0.0)
    if random.random() < 0.6:  # muscle
        noise += coloured(random, n, 5.0, 40.0, 0.3) * 10 ** random.uniform(-2.2, -0.35)
    if random.random() < 0.3:  # the power line
        hertz = random.choice([50.0, 60.0]) + random.normal() * 0.05
        t = np.arange(n) / RATE_HZ
        wave = np.sin(2 * np.pi * (hertz * t + random.random()))
        noise += wave * 10 ** random.uniform(-2, -0.5)
    if random.random() < 0.15:  # electrode motion that does not end, now stronger, now weaker
        motion = coloured(random, n, 0.7, 15.0, random.uniform(0.8, 2.5))
        swell = np.exp(0.7 * coloured(random, n, 0.1, 1.0, 0.0))
        noise += motion * swell / swell.mean() * 10 ** random.uniform(-1.1, 0.0)
    for _ in range(random.poisson(0.8)):  # electrode motion, in bursts
        length = int(random.uniform(0.3, 6.0) * RATE_HZ)
        at = int(random.integers(-length // 2, n))
        slope = random.uniform(0.8, 2.0)
        burst = np.hanning(length) ** 0.5 * coloured(random, length, 0.5, 14.0, slope)
        begin, end = max(at, 0), min(at + length, n)
        if begin < end:
            noise[begin:end] += burst[begin - at : end - at] * 10 ** random.uniform(-1.0, 0.6)
    for _ in range(random.poisson(0.2)):  # a jump of the baseline, after the high-pass
        at = int(random.integers(0, n))
        t = np.arange(n - at) / RATE_HZ
        ring = np.exp(-2.2 * t) * np.cos(2.2 * t)
        noise[at:] += random.choice([-1, 1]) * 10 ** random.uniform(-0.7, 0.9) * ring
    return noise * size


def _noisy(noise: Floats, size: float) -> Floats:
    """Soft label from the ratio in the second around each row."""
    half = RATE_HZ // 2
    sums = np.cumsum(np.pad(noise**2, (half + 1, half)))
    power = (sums[RATE_HZ:] - sums[:-RATE_HZ])[: len(noise)] / RATE_HZ
    signal = (1.4 * size / (2 * np.sqrt(2))) ** 2
    ratio_db = 10 * np.log10(signal / np.maximum(power, 1e-12))
    return np.asarray(1 / (1 + np.exp(np.clip((ratio_db - NOISY_DB) / _SOFT_DB, -30, 30))))


def disturbed(random: np.random.Generator, rows: NDArray[np.float32], beats: NDArray[np.float64],
              known: NDArray[np.bool_]) -> Crop:  # fmt: skip
    """A crop as another device, on another day, might have recorded it."""
    n = len(rows)
    x = rows.astype(np.float64)
    if random.random() < 0.5:
        x = reshaped(random, x)
    size = float(np.percentile(np.abs(x), 99)) + 1e-3  # about the height of the QRS complexes
    x = taller(random, x, beats, size)
    noise = _noise(random, n, size)
    x, noisy = x + noise, _noisy(noise, size)
    if random.random() < 0.12:  # the electrode says nothing for a while
        at = int(random.integers(0, max(1, n - RATE_HZ)))
        end = min(n, at + int(random.uniform(0.5, 5.0) * RATE_HZ))
        level = size * random.choice([0.0, 0.02, 0.3, 1.0])
        x[at:end] = coloured(random, end - at, 0.5, 40, random.uniform(0.3, 2.0)) * level
        beats = beats[(beats < at - _EDGE) | (beats > end + _EDGE)]
        noisy[at:end] = 1.0
        known = known.copy()
        known[max(0, at - 2 * _EDGE) : at + _EDGE] = False
        known[max(0, end - _EDGE) : end + 2 * _EDGE] = False
    gain = 10 ** random.uniform(-0.7, 0.6) if random.random() < 0.8 else 1.0
    gain *= -1.0 if random.random() < 0.2 else 1.0
    return Crop((x * gain).astype(np.float32), beats, known, noisy.astype(np.float32))
