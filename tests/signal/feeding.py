"""What the tests of the signal path share: signals, cuts, and the joined output of many steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from edge_dx.signal import (
    AnySignalStep,
    Bandpass,
    Block,
    Event,
    Highpass,
    Notch,
    Resample,
    Samples,
    Scale,
    SignalPath,
    State,
)

RATES = (125, 128, 130, 250, 256, 257, 300, 360, 400, 500, 1000)
STEPS: tuple[AnySignalStep, ...] = (
    Resample(to_hz=250), Notch(), Bandpass(low_hz=0.5, high_hz=40.0), Scale(factor=2.0, limit=50.0)
)  # fmt: skip
OF_ALL_KINDS: tuple[AnySignalStep, ...] = (Highpass(cutoff_hz=0.5), *STEPS)


def path(rate_hz: Any = 360, steps: Sequence[AnySignalStep] = STEPS, **rest: Any) -> SignalPath:
    return SignalPath(steps, **{"rate_hz": rate_hz, "leads": ["I", "II"], "mains_hz": 50, **rest})


def noise(n: int, seed: int = 0, leads: int = 2) -> Any:
    return np.random.default_rng(seed).normal(0.3, 0.5, (n, leads))


def feed(
    signal_path: SignalPath, chunks: Iterable[Samples | Any], state: State | None = None
) -> tuple[State, Block]:
    """Steps through all chunks and joins what came out."""
    state = signal_path.start() if state is None else state
    blocks: list[Block] = []
    events: list[Event] = []
    for chunk in chunks:
        state, block = signal_path.step(state, chunk)
        blocks.append(block)
        events += block.events
    blocks = blocks or [signal_path.step(state, np.zeros((0, len(signal_path.leads))))[1]]
    parts = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in ("index", "values", "flags", "segment")
    }
    return state, Block(events=tuple(events), **parts)


def cut(samples: Samples, sizes: Iterable[int]) -> list[Samples]:
    """The same samples in pieces of these sizes; what is left comes as the last one."""
    found, begin, start = [], 0, samples.start or 0
    for size in [*sizes, len(samples.mv)]:
        end = min(begin + size, len(samples.mv))
        off = None if samples.lead_off is None else samples.lead_off[begin:end]
        found.append(Samples(samples.mv[begin:end], start + begin, off))
        begin = end
    return found


def same(one: Block, other: Block) -> bool:
    """Equal to the bit, events and their order included."""
    arrays = all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in ((one.index, other.index), (one.values, other.values),
                     (one.flags, other.flags), (one.segment, other.segment))
    )  # fmt: skip
    return arrays and one.events == other.events


def same_state(one: State, other: State) -> bool:
    return one.made_by == other.made_by and all(
        one.arrays[name].tobytes() == other.arrays[name].tobytes() for name in one.arrays
    )
