"""Records that the bridge's tests stream, as a device's converter would have taken them."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_dx.sources.samples import Synthetic
from firmware_bridge.simulator import RecordStream
from firmware_bridge.simulator.streams import record_of


def heart_mv(seconds: float, rate_hz: int = 250, seed: int = 0) -> Any:
    """(n, 1) millivolts of a made-up heart."""
    source = Synthetic(seconds=seconds, rate_hz=rate_hz, seed=seed)
    return np.concatenate([block.mv for block in source.blocks()])[:, :1]


def heart(seconds: float, rate_hz: int = 250, **rest: Any) -> tuple[Any, RecordStream]:
    """The record as counts, and the stream that plays it."""
    stream = record_of("ecg", rate_hz, ["II"], heart_mv(seconds, rate_hz), **rest)
    return stream.counts, stream
