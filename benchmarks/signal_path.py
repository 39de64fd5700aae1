"""What the signal path costs: one stream alone, many together, a whole recording at once.

    python benchmarks/signal_path.py [--out benchmarks/results/signal_path.md]

Processor time (not wall time: the figures are of one core), the best of several rounds, in
microseconds per second of signal and stream. Samples arrive 100 ms at a time, as a wearable sends
them. Beside it, as the floor: scipy's `resample_poly` and `sosfilt` on the whole recording, which
can do none of what a stream needs.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import signal as scipy_signal

from edge_dx.signal import Bandpass, Notch, Resample, Scale, SignalPath

STEPS = [Resample(to_hz=250), Notch(), Bandpass(low_hz=0.5, high_hz=40.0), Scale(factor=1.0)]
CASES = ((250, 1), (360, 1), (360, 2), (500, 12))
SECONDS, ROUNDS = 20, 5


def cost(work: Callable[[], object], per: float) -> float:
    """Microseconds of processor time, divided."""
    spent = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return min(spent) * 1e6 / per


def figures(rate: int, leads: int) -> list[str]:
    path = SignalPath(STEPS, rate_hz=rate, leads=[f"{n}" for n in range(leads)], mains_hz=50)
    x = np.random.default_rng(0).normal(size=(rate * SECONDS, leads))
    hop = rate // 10
    parts = [x[begin : begin + hop] for begin in range(0, len(x), hop)]

    def alone() -> None:
        state = path.start()
        for part in parts:
            state, _ = path.step(state, part)

    def together(streams: int) -> Callable[[], object]:
        def work() -> None:
            states = [path.start()] * streams
            for part in parts[:20]:
                states, _ = path.step_many(states, [part] * streams)

        return work

    band = scipy_signal.butter(2, (0.5, 40), "bandpass", fs=250, output="sos")
    sos = np.concatenate([scipy_signal.tf2sos(*scipy_signal.iirnotch(50, 30, fs=250)), band])

    def floor() -> object:
        at_250 = scipy_signal.resample_poly(x, 250, rate, axis=0) if rate != 250 else x
        return scipy_signal.sosfilt(sos, at_250, axis=0)

    found = [cost(alone, SECONDS)]
    found += [cost(together(streams), 2 * streams) for streams in (16, 64)]
    found += [cost(lambda: path.step(path.start(), x), SECONDS), cost(floor, SECONDS)]
    return [f"{rate}", f"{leads}", *(f"{value:.0f}" for value in found)]


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--out", type=Path, default=Path("benchmarks/results/signal_path.md"))
    lines = [
        "# The signal path", "",
        f"`python benchmarks/signal_path.py` on {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, numpy {np.__version__}. Microseconds of processor "
        "time per second of signal and stream; resample to 250, notch, band-pass, scale.", "",
        "| rate | leads | alone | 16 together | 64 together | whole recording | scipy, whole |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    lines += ["| " + " | ".join(figures(*case)) + " |" for case in CASES]
    reader.parse_args().out.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
