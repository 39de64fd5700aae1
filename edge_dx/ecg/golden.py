"""What a stream makes of a golden signal, as arrays: an exporter writes it, a proof compares it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_dx.ecg.events import LABELS, Beat, Rhythm, StreamEvent
from edge_dx.ecg.networks import Network
from edge_dx.ecg.stream import SignalStream
from edge_dx.tensors import Array

BEAT, BEGINS, ENDS = 0, 1, 2
EVENTS = "events"
_CHUNK = 1000


def answers(
    stream: SignalStream, networks: dict[str, Network], names: dict[str, str], raw: Array
) -> dict[str, Array]:
    """Runs a signal through a stream.

    Args:
        stream: made for the signal's rate and leads.
        networks: that the stream asks.
        names: network to the tensor that it answers with.
        raw: (n, leads) millivolts.

    Returns:
        Tensor to what it gave, call by call, joined along the batch, of all networks that were
        asked; and `events` (m, 3) int64, of each beat and change of rhythm kind, sample and label.

    Raises what `SignalStream.step` raises.
    """
    given: dict[str, list[Array]] = {}

    def tap(name: str, answer: Array) -> None:
        given.setdefault(names[name], []).append(answer)

    events: list[StreamEvent] = []
    for network in networks.values():
        network.tap = tap
    try:
        state = stream.start()
        for begin in range(0, len(raw), _CHUNK):
            state, own = stream.step(state, raw[begin : begin + _CHUNK])
            events += own
        events += stream.finish(state)
    finally:
        for network in networks.values():
            network.tap = None
    found = {name: np.concatenate(parts) for name, parts in given.items()}
    return {**found, EVENTS: as_array(events)}


def as_array(events: Sequence[StreamEvent]) -> Array:
    """Beats and changes of rhythm, (m, 3) int64."""
    rows = []
    for event in events:
        if isinstance(event, Beat):
            rows.append((BEAT, event.sample, LABELS.index(event.label)))
        elif isinstance(event, Rhythm):
            rows.append((BEGINS if event.change == "begins" else ENDS, event.sample, 0))
    return np.array(rows, np.int64).reshape(-1, 3)
