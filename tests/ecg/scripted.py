"""Networks in numpy, whose answers do not depend on who else is in the batch, not even in the last
bit; and streams of them. What they compute is what `tiny_stream`'s files do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from edge_dx.backends import input_specs, output_specs
from edge_dx.ecg.events import StreamEvent
from edge_dx.ecg.networks import Network
from edge_dx.ecg.state import StreamState
from edge_dx.ecg.stream import SignalStream
from edge_dx.manifest import Manifest, as_model
from edge_dx.signal import Samples
from edge_dx.sources.samples import Synthetic
from edge_dx.tensors import Array, TensorSpec, check_feeds
from tests.ecg import tiny_stream


class Scripted:
    """A backend that computes with fixed sums, row by row of the batch.

    Attributes:
        calls: size of the batch of every call.
    """

    def __init__(self, manifest: Manifest, name: str) -> None:
        seen, _ = as_model(manifest, manifest.variants[0], name)
        self._specs = input_specs(seen), output_specs(seen)
        self._name, self.calls, self.closed = name, list[int](), False
        self.spoil: float | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._specs[0]

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._specs[1]

    @property
    def built(self) -> None:
        return None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        check_feeds(self.inputs, feeds)
        found = self._frames(feeds) if self._name == "detector" else self._classes(feeds)
        self.calls.append(len(next(iter(feeds.values()))))
        if self.spoil is not None:
            next(iter(found.values()))[...] = self.spoil
        return found

    def close(self) -> None:
        self.closed = True

    def _frames(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        x = np.concatenate([feeds["state.0.in"], feeds["signal"]], axis=2)
        frames = np.zeros((len(x), 5, 3), np.float32)
        for frame in range(5):
            at = 5 * frame
            near, wide = x[:, 0, at + 10 : at + 14], x[:, 0, at + 4 : at + 20]
            out = near.sum(axis=1) / np.float32(4) - wide.sum(axis=1) / np.float32(16)
            frames[:, frame, 0] = 16 * np.abs(out) - 4
            frames[:, frame, 2] = 40 * np.abs(x[:, 0, at + 59]) - 100  # noisy where it is large
        return {"frames": frames, "state.0.out": x[:, :, 25:]}

    def _classes(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        held = feeds["state.h.in"]
        window, features = feeds["window"].reshape(len(held), -1), feeds["features"]
        new = np.empty_like(held)
        for unit in range(held.shape[1]):
            told = window[:, unit::12].sum(axis=1) + features[:, unit::12].sum(axis=1)
            new[:, unit] = np.tanh(np.float32(0.2) * told + np.float32(0.5) * held[:, unit])
        classes = np.stack([new[:, k] * 3 - new[:, k + 5] for k in range(5)], axis=1)
        return {"classes": classes, "state.h.out": new}


@cache
def manifest() -> Manifest:
    """Of the tiny stream bundle."""
    return tiny_stream.built(tiny_stream.described(), tiny_stream.members())


def backends() -> dict[str, Scripted]:
    return {name: Scripted(manifest(), name) for name in ("detector", "at_once", "one_beat_late")}


def stream(
    rate_hz: Any = 250, leads: Sequence[str] = ("II",), own: dict[str, Scripted] | None = None,
    **rest: Any,
) -> SignalStream:  # fmt: skip
    networks = {
        name: Network(manifest(), name, backend)
        for name, backend in (backends() if own is None else own).items()
    }
    return SignalStream(
        manifest(), manifest().variants[0], networks, rate_hz=rate_hz, leads=leads,
        bundle_digest="0" * 64, **rest,
    )  # fmt: skip


@cache
def _drawn(rate_hz: int, seconds: float, seed: int) -> tuple[Array, tuple[int, ...]]:
    source = Synthetic(rate_hz=rate_hz, seconds=seconds, premature_every=7, seed=seed)
    mv = np.concatenate([block.mv for block in source.blocks()])
    mv.flags.writeable = False
    return mv, tuple(beat.index for beat in source.beats() if not beat.ventricular)


def ecg(rate_hz: int = 250, seconds: float = 20, leads: int = 1, seed: int = 1) -> Array:
    """A made-up ECG, (n, leads) millivolts."""
    return _drawn(rate_hz, seconds, seed)[0][:, :leads].copy()


def true_beats(rate_hz: int = 250, seconds: float = 20, seed: int = 1) -> tuple[int, ...]:
    """Where its narrow beats are."""
    return _drawn(rate_hz, seconds, seed)[1]


def feed(
    made: SignalStream, chunks: Sequence[Samples | Array], state: StreamState | None = None
) -> tuple[StreamState, list[StreamEvent]]:
    """Steps through all chunks."""
    state = made.start() if state is None else state
    events: list[StreamEvent] = []
    for chunk in chunks:
        state, own = made.step(state, chunk)
        events += own
    return state, events


def same_state(one: StreamState, other: StreamState) -> bool:
    """Equal to the bit."""
    first, second = one.to_arrays(), other.to_arrays()
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and first[name].tobytes() == second[name].tobytes()
        for name in first
    )
