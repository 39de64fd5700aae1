"""A day of signal, made block by block: memory does not grow, and nothing drifts."""

from __future__ import annotations

import resource

import numpy as np

from edge_dx.signal import Samples, SignalPath
from edge_dx.sources.samples import Synthetic
from tests.signal.feeding import STEPS

RATE, BLOCK = 125, 125 * 40
HOURS = 24


def test_a_day_takes_no_more_memory_than_its_first_minutes() -> None:
    period = np.concatenate([b.mv for b in Synthetic(rate_hz=RATE, seconds=40).blocks()])[:, :1]
    signal_path = SignalPath(STEPS, rate_hz=RATE, leads=["II"], mains_hz=50)
    state, rows = signal_path.start(), 0
    early = late = np.zeros(0)
    settled_kb = 0
    blocks = HOURS * 3600 * RATE // BLOCK
    for number in range(blocks):
        state, block = signal_path.step(state, Samples(period, number * BLOCK))
        rows += len(block.index)
        if number == 20:
            early, settled_kb = block.values, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        late = block.values
    assert rows == HOURS * 3600 * 250
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - settled_kb < 8192
    np.testing.assert_allclose(late, early, rtol=0, atol=1e-12)
    assert block.index[-1] == rows - 1
    shown = signal_path.clock.when(int(block.index[-1]))
    assert abs(blocks * BLOCK - 1 - shown - int(signal_path.clock.delay)) <= 1
