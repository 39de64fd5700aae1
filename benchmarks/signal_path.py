"""What the signal path costs: one stream alone, many together, a whole recording at once.

    python benchmarks/signal_path.py [--rounds 15] [--out benchmarks/results/signal_path.md]

Processor time (not wall time: the figures are of one core), the median of rounds in which the
contenders take turns, in microseconds per second of signal and stream. Samples arrive 100 ms at a
time, as a wearable sends them. Beside it, as the floor: `bare`, the same sums over the same taps
and one `sosfilt` with its memory carried, on arrays of the same shapes, which asks no sample
whether it is one; and scipy's `resample_poly` and `sosfilt` on the whole recording.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy import signal as scipy_signal

from edge_dx import device
from edge_dx.signal import Bandpass, Notch, Resample, Scale, SignalPath

STEPS = [Resample(to_hz=250), Notch(), Bandpass(low_hz=0.5, high_hz=40.0), Scale(factor=1.0)]
CASES = ((250, 1), (360, 1), (360, 2), (500, 12))
SECONDS, WARM_S = 20, 5
TAPS = 38
"""Of the resampler from 360 to 250; a few more or less at other rates."""

Work = Callable[[], object]


def medians(works: dict[str, tuple[Work, float]], rounds: int) -> dict[str, float]:
    """Microseconds of processor time, each divided by its own number of stream-seconds."""
    names = list(works)
    spent: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):  # the first round fills the caches
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            work, per = works[name]
            begin = time.process_time_ns()
            work()
            if number:
                spent[name].append((time.process_time_ns() - begin) / 1e3 / per)
    return {name: float(np.median(values)) for name, values in spent.items()}


def sections() -> Any:
    band = scipy_signal.butter(2, (0.5, 40), "bandpass", fs=250, output="sos")
    return np.concatenate([scipy_signal.tf2sos(*scipy_signal.iirnotch(50, 30, fs=250)), band])


def bare(path: SignalPath, streams: int, steps: int) -> Work:
    """The arithmetic alone."""
    rate, leads = int(path.rate_hz), len(path.leads)
    x, sos = np.random.default_rng(0).normal(size=(streams, leads, rate // 10)), sections()
    resamples = rate != 250
    where = np.arange(25) * rate // 250 + TAPS - np.arange(TAPS)[:, None]
    where = np.minimum(where, TAPS + rate // 10 - 1)
    weights = np.random.default_rng(1).normal(size=where.shape)

    def work() -> None:
        past = np.zeros((streams, leads, TAPS))
        memory = np.zeros((len(sos), streams, leads, 2))
        for _ in range(steps):
            rows = x
            if resamples:
                joined = np.concatenate([past, x], axis=2)
                past = joined[..., -TAPS:]
                some = max(1, 64 // leads)  # more products do not fit the cache
                rows = np.concatenate([
                    np.add.reduce(joined[low : low + some].take(where, axis=2) * weights, axis=2)
                    for low in range(0, streams, some)
                ])  # fmt: skip
            _, memory = scipy_signal.sosfilt(sos, rows, zi=memory)

    return work


def figures(rate: int, leads: int, rounds: int) -> list[str]:
    path = SignalPath(STEPS, rate_hz=rate, leads=[f"{n}" for n in range(leads)], mains_hz=50)
    x = np.random.default_rng(0).normal(size=(rate * SECONDS, leads))
    hop = rate // 10
    parts = [x[begin : begin + hop] for begin in range(0, len(x), hop)]
    warm, _ = path.step(path.start(), x[: rate * WARM_S])

    def alone() -> None:
        state = warm
        for part in parts[:100]:
            state, _ = path.step(state, part)

    def begins() -> None:
        state = path.start()
        for part in parts[:30]:
            state, _ = path.step(state, part)

    def many() -> None:
        states = [warm] * 64
        for part in parts[:10]:
            states, _ = path.step_many(states, [part] * 64)

    def joined(streams: int) -> Work:
        together = path.join([warm] * streams)

        def work() -> None:
            state = together
            for part in parts[:10]:
                state, blocks = path.step_joined(state, [part] * streams)
                list(blocks)

        return work

    def floor() -> object:
        at_250 = scipy_signal.resample_poly(x, 250, rate, axis=0) if rate != 250 else x
        return scipy_signal.sosfilt(sections(), at_250, axis=0)

    found = medians(
        {
            "alone": (alone, 10), "bare": (bare(path, 1, 100), 10), "warming up": (begins, 3),
            "step_many, 64": (many, 64), "step_joined, 64": (joined(64), 64),
            "bare, 64": (bare(path, 64, 10), 64), "step_joined, 256": (joined(256), 256),
            "whole recording": (lambda: path.step(path.start(), x), SECONDS),
            "scipy, whole": (floor, SECONDS),
        },
        rounds,
    )  # fmt: skip
    return [f"{rate}", f"{leads}", *(f"{found[name]:.0f}" for name in COLUMNS)]


COLUMNS = ("alone", "bare", "warming up", "step_many, 64", "step_joined, 64", "bare, 64",
           "step_joined, 256", "whole recording", "scipy, whole")  # fmt: skip


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--rounds", type=int, default=15)
    reader.add_argument("--out", type=Path, default=Path("benchmarks/results/signal_path.md"))
    asked = reader.parse_args()
    head = ("rate", "leads", *COLUMNS)
    lines = [
        "# The signal path", "",
        f"`python benchmarks/signal_path.py` on {device.processor()} "
        f"({', '.join(device.instruction_sets())}), Python {platform.python_version()}, numpy "
        f"{np.__version__}, scipy {scipy.__version__}, load average {os.getloadavg()[0]:.1f} at "
        "the beginning. Microseconds of processor time per second of signal and stream, medians of "
        f"{asked.rounds} interleaved rounds; resample to 250, notch, band-pass, scale, 100 ms at a "
        "time.", "",
        "| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |",
    ]  # fmt: skip
    lines += ["| " + " | ".join(figures(*case, asked.rounds)) + " |" for case in CASES]
    asked.out.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
