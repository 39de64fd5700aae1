"""The signal path: samples as a device sends them, to rows that a network or a detector can use.

Causal, chunk-invariant to the bit, with all state in the caller's hand; docs/signal-path.md.
"""

from __future__ import annotations

from edge_dx.signal.events import (
    CONCEALED,
    INVALID,
    WARMUP,
    Block,
    Event,
    Gap,
    LeadOff,
    Quality,
    Samples,
    Warmup,
)
from edge_dx.signal.hop import Hop, Hops
from edge_dx.signal.path import SignalPath
from edge_dx.signal.quality import Rules
from edge_dx.signal.state import State
from edge_dx.signal.steps import (
    AnySignalStep,
    Bandpass,
    Highpass,
    Mains,
    Notch,
    Resample,
    Scale,
)
from edge_dx.signal.timing import Clockwork, Rate, Timing

__all__ = [
    "CONCEALED", "INVALID", "WARMUP", "AnySignalStep", "Bandpass", "Block", "Clockwork", "Event",
    "Gap", "Highpass", "Hop", "Hops", "LeadOff", "Mains", "Notch", "Quality", "Rate", "Resample",
    "Rules", "Samples", "Scale", "SignalPath", "State", "Timing", "Warmup",
]  # fmt: skip
